//! Reads the URL of Redis: what redis-rs reads, and two things more.
//!
//! * Several nodes of one cluster, with commas between: `redis://user:password@a:7000,b:7000,c:7000`.
//! * Files for TLS, by the names that redis-py gave them: `rediss://host?ssl_ca_certs=FILE`, and for a client's
//!   certificate `&ssl_certfile=FILE&ssl_keyfile=FILE`.

use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{Client, ClientTlsConfig, ConnectionInfo, IntoConnectionInfo, RedisError, TlsCertificates};
use url::Url;

/// After how much silence a connection is asked whether it still stands, and how often from then on.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// How long what was sent may stay unconfirmed. A cut network is noticed then, even by who only listens.
#[cfg(target_os = "linux")]
const UNCONFIRMED: Duration = Duration::from_secs(10);

/// The URL of Redis cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RedisUrlError {
    /// It is no URL of Redis.
    #[error("the URL of Redis cannot be read")]
    Unreadable(#[source] RedisError),
    /// A file that it names cannot be read.
    #[error("the URL of Redis names {path} as {parameter}, which cannot be read")]
    File {
        /// The file.
        path: String,
        /// What it is for.
        parameter: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A client's certificate and its key belong together.
    #[error("the URL of Redis names one of ssl_certfile and ssl_keyfile; both are needed")]
    HalfACertificate,
}

/// Returns a client for each node that a URL names, of which there is at least one. Connects to none.
pub(crate) fn clients(url: &str) -> Result<Vec<Client>, RedisUrlError> {
    node_urls(url).iter().map(|url| client(url)).collect()
}

/// Makes a URL with several hosts into several URLs.
fn node_urls(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    hosts.split(',').map(|host| format!("{scheme}://{user}{host}{tail}")).collect()
}

fn client(url: &str) -> Result<Client, RedisUrlError> {
    let info = url.into_connection_info().map_err(RedisUrlError::Unreadable)?;
    let info = with_tcp_settings(info);
    let opened = match certificates(url)? {
        Some(certificates) => Client::build_with_tls(info, certificates),
        None => Client::open(info),
    };
    opened.map_err(RedisUrlError::Unreadable)
}

fn with_tcp_settings(info: ConnectionInfo) -> ConnectionInfo {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(UNCONFIRMED);
    info.set_tcp_settings(settings)
}

/// Reads the files that a URL names for TLS.
fn certificates(url: &str) -> Result<Option<TlsCertificates>, RedisUrlError> {
    // Redis has read it as a URL before.
    let Ok(url) = Url::parse(url) else { return Ok(None) };
    let file = |parameter: &'static str| {
        let path =
            url.query_pairs().find(|(key, _value)| key == parameter).map(|(_key, value)| value.into_owned());
        let read = |path: String| {
            std::fs::read(&path).map_err(|source| RedisUrlError::File { path, parameter, source })
        };
        path.map(read).transpose()
    };
    let client_tls = match (file("ssl_certfile")?, file("ssl_keyfile")?) {
        (Some(client_cert), Some(client_key)) => Some(ClientTlsConfig { client_cert, client_key }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err(RedisUrlError::HalfACertificate),
    };
    let root_cert = file("ssl_ca_certs")?;
    let named = client_tls.is_some() || root_cert.is_some();
    Ok(named.then_some(TlsCertificates { client_tls, root_cert }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_of_a_cluster_share_all_but_the_host() {
        assert_eq!(
            node_urls("rediss://user:a,b@one:7000,[::1]:7001,three/0?ssl_ca_certs=/a,b"),
            [
                "rediss://user:a,b@one:7000/0?ssl_ca_certs=/a,b",
                "rediss://user:a,b@[::1]:7001/0?ssl_ca_certs=/a,b",
                "rediss://user:a,b@three/0?ssl_ca_certs=/a,b",
            ]
        );
        assert_eq!(node_urls("redis+unix:///run/a,b.sock?pass=c"), ["redis+unix:///run/a,b.sock?pass=c"]);
        assert_eq!(node_urls("redis://host"), ["redis://host"]);
    }

    #[test]
    fn an_unusable_url_is_told_by_what_is_wrong() {
        for wrong in ["", "nonsense", "http://host", "redis://a,,b", "redis://a:x"] {
            assert!(matches!(clients(wrong), Err(RedisUrlError::Unreadable(_))), "{wrong}");
        }
        let missing = clients("rediss://host?ssl_ca_certs=/nowhere/ca.pem").unwrap_err().to_string();
        assert_eq!(missing, "the URL of Redis names /nowhere/ca.pem as ssl_ca_certs, which cannot be read");
        let half = clients("rediss://host?ssl_certfile=/dev/null");
        assert!(matches!(half, Err(RedisUrlError::HalfACertificate)));
        let plain = clients("redis://host?ssl_ca_certs=/dev/null");
        assert!(matches!(plain, Err(RedisUrlError::Unreadable(_))), "files for TLS, and no TLS");
    }
}
