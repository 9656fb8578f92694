//! What stands between a worker's agents and its machine.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// For the agents of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SandboxConfig {
    /// What confines them.
    pub mode: SandboxMode,
    /// What they reach of the network.
    pub network: NetworkMode,
    /// What they may read besides the system's programs and those on `PATH`.
    pub read_paths: Vec<PathBuf>,
    /// What they may write outside of their workspace.
    pub write_paths: Vec<PathBuf>,
    /// What one agent may use up.
    pub limits: AgentLimits,
}

/// What one agent may use up, with all that it starts; 0 for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentLimits {
    /// Memory in bytes.
    pub max_memory_bytes: u64,
    /// Processes and threads.
    pub max_processes: u64,
    /// Processors.
    pub max_cpus: u64,
}

/// What confines agents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SandboxMode {
    /// The first of bubblewrap and Landlock that works here; without either no task is taken.
    #[default]
    Auto,
    /// Namespaces of their own, made by `bwrap`.
    Bubblewrap,
    /// The kernel's own Landlock.
    Landlock,
    /// Nothing.
    None,
}

impl FromStr for SandboxMode {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "auto" => Ok(Self::Auto),
            "bubblewrap" => Ok(Self::Bubblewrap),
            "landlock" => Ok(Self::Landlock),
            "none" => Ok(Self::None),
            _ => Err(()),
        }
    }
}

/// What agents reach of the network.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum NetworkMode {
    /// What the worker does.
    #[default]
    On,
    /// Nothing.
    Off,
    /// They are told to use the proxy of this URL, which nothing forces them to.
    Proxy(String),
}

impl FromStr for NetworkMode {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word.split_once(':') {
            None if word == "on" => Ok(Self::On),
            None if word == "off" => Ok(Self::Off),
            Some(("proxy", address)) => proxy_url(address).map(Self::Proxy).ok_or(()),
            Some(_) | None => Err(()),
        }
    }
}

/// Reads `host:port` or a URL.
fn proxy_url(address: &str) -> Option<String> {
    let text = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let url = url::Url::parse(&text).ok()?;
    let is_known = matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h");
    (is_known && url.host_str().is_some_and(|host| !host.is_empty())).then_some(text)
}

/// Returns the unix sockets that two URLs name, of a PostgreSQL and of a Redis.
pub(super) fn server_sockets(database: &str, redis: &str) -> Vec<PathBuf> {
    let database = url::Url::parse(database).ok().and_then(|url| {
        let host = url.query_pairs().find(|(name, value)| name == "host" && value.starts_with('/'))?.1;
        let file = format!(".s.PGSQL.{}", url.port().unwrap_or(5432));
        Some(PathBuf::from(host.into_owned()).join(file))
    });
    let redis = url::Url::parse(redis).ok().filter(|url| matches!(url.scheme(), "redis+unix" | "unix"));
    database.into_iter().chain(redis.map(|url| PathBuf::from(url.path()))).collect()
}

/// Leaves out the proxy's URL, which may hold a password.
impl fmt::Debug for NetworkMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::On => "On",
            Self::Off => "Off",
            Self::Proxy(_) => "Proxy(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_found_in_urls() {
        let database = "postgres://makima:secret@localhost:5433/makima?sslmode=disable&host=%2Fsrv%2Frun";
        let found = server_sockets(database, "redis+unix:///srv/run/redis.sock?pass=secret");
        assert_eq!(found, ["/srv/run/.s.PGSQL.5433", "/srv/run/redis.sock"].map(PathBuf::from));
        assert!(server_sockets("postgres://db/makima", "redis://cache/").is_empty());
    }

    #[test]
    fn a_proxy_is_an_address_or_a_url_and_is_not_shown() {
        let read = |word: &str| word.parse::<NetworkMode>();
        assert_eq!(read("proxy:10.0.0.1:3128"), Ok(NetworkMode::Proxy("http://10.0.0.1:3128".into())));
        let secret = read("proxy:http://me:hunter2@proxy:1").unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
        for wrong in ["", "proxy", "proxy:", "proxy:file:///x", "yes", "off:1"] {
            assert_eq!(read(wrong), Err(()), "{wrong}");
        }
    }
}
