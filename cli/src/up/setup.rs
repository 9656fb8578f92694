//! What has to stand before a role can start: servers, schema, an address, a key.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use makima_shared::config::{Config, ConfigSource};
use makima_shared::store::Store;
use tokio::time::sleep;

use super::UpOptions;
use super::log_lines::LogLines;
use crate::client::ClientFile;
use crate::directories;
use crate::services::{Durability, External, Services, ServicesOptions};

/// Connections of this process itself, which only looks whether all is ready.
const CONNECTIONS: u32 = 2;
/// Whose key the client file holds.
const OWNER: &str = "default";
/// An API of an `up` that was killed lets go of its address by itself, as soon as it notices.
const ADDRESS_TRIES: u32 = 100;
const ADDRESS_TRY_PERIOD: Duration = Duration::from_millis(100);

/// What the roles build on.
pub(super) struct Foundation {
    pub(super) services: Services,
    pub(super) store: Store,
    pub(super) client_file: ClientFile,
    /// Where the API is to listen, with its real port.
    pub(super) listen: SocketAddr,
}

/// Starts the servers, brings the schema up to date and writes the client file.
pub(super) async fn lay(
    options: &UpOptions,
    source: &ConfigSource,
    config: &Config,
    lines: &LogLines,
) -> anyhow::Result<Foundation> {
    let listen = free_address(config.api.listen, lines).await?;
    let external = external(source);
    if external.database_url.is_none() || external.redis_url.is_none() {
        lines.say(&format!("starting the private servers in {}", options.data_dir.display())).await;
    }
    let services = Services::start(ServicesOptions {
        data_dir: options.data_dir.clone(),
        durability: if options.durable { Durability::Durable } else { Durability::Ephemeral },
        template: template(options),
        external,
    })
    .await?;
    let store = Store::open(services.database_url(), CONNECTIONS, "makima-up")?;
    store.check_pooler().await?;
    store.migrate().await.context("cannot migrate the database")?;
    let client_file = write_client_file(&store, &options.data_dir, listen).await?;
    Ok(Foundation { services, store, client_file, listen })
}

/// Takes servers that stand already, wherever the configuration names them.
fn external(source: &ConfigSource) -> External {
    let given = |key| source.given(key).map(|(url, _)| url.to_owned()).filter(|url| !url.is_empty());
    External { database_url: given("database.url"), redis_url: given("redis.url") }
}

/// A cluster to copy. Its servers do not sync to disk, so only tests take it.
fn template(options: &UpOptions) -> Option<PathBuf> {
    if options.durable { None } else { std::env::var_os("MAKIMA_PG_TEMPLATE").map(PathBuf::from) }
}

/// Makes sure that the address can be listened on, and gives port 0 a number.
async fn free_address(address: SocketAddr, lines: &LogLines) -> anyhow::Result<SocketAddr> {
    for tried in 0..ADDRESS_TRIES {
        match TcpListener::bind(address) {
            Ok(listener) => return Ok(listener.local_addr()?),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                if tried == 0 {
                    lines.say(&format!("{address} is in use; waiting a moment for it to become free")).await;
                }
            }
            Err(error) => return Err(error).with_context(|| format!("the API cannot listen on {address}")),
        }
        sleep(ADDRESS_TRY_PERIOD).await; // why: nothing tells that an address becomes free
    }
    bail!(
        "{address} is in use by another program: choose another address with --listen, or port 0 for any free one"
    )
}

/// Writes where the API is and an operator's key for it; one that is still good is kept.
async fn write_client_file(store: &Store, data_dir: &Path, listen: SocketAddr) -> anyhow::Result<ClientFile> {
    let path = directories::client_file(data_dir);
    let old = ClientFile::read(&path).ok();
    let mut good_key = None;
    if let Some(old) = &old
        && store.api_key_authenticate(&old.api_key).await?.is_some_and(|caller| caller.operator)
    {
        good_key = Some(old.api_key.clone());
    }
    let api_key = match good_key {
        Some(key) => key,
        None => store.operator_key_create(store.owner_ensure(OWNER).await?, "makima up").await?,
    };
    let file = ClientFile { url: url_of(listen), api_key };
    if old.as_ref() != Some(&file) {
        file.write(&path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(file)
}

/// Returns how a client on this machine reaches an address; "all addresses" is none to connect to.
fn url_of(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listen.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_reach_an_api_that_listens_everywhere_by_the_loopback() {
        let url = |text: &str| url_of(text.parse().unwrap());
        assert_eq!(url("0.0.0.0:80"), "http://127.0.0.1:80");
        assert_eq!(url("[::]:80"), "http://[::1]:80");
        assert_eq!(url("10.0.0.1:80"), "http://10.0.0.1:80");
    }

    #[tokio::test]
    async fn port_0_becomes_a_real_one() {
        let lines = LogLines::start(1);
        let address = free_address("127.0.0.1:0".parse().unwrap(), &lines).await.unwrap();
        assert_ne!(address.port(), 0);
    }
}
