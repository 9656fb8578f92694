//! The private PostgreSQL and Redis of one machine: found, initialised, started, kept running and stopped.
//!
//! A data directory belongs to one [`Services`] at a time and holds everything of both servers:
//!
//! ```text
//! D/lock           held (flock) while a Services is alive
//! D/secrets.json   both passwords, 0600
//! D/postgres/      the cluster          D/redis/   pid file, append-only file
//! D/run/           the unix sockets     D/log/     what the servers say
//! ```
//!
//! Invariants: the servers listen on unix sockets in `D/run` alone and ask for a password; none of the passwords is
//! ever in an argument list; a kill at any moment leaves a directory that the next start can use; no two servers are
//! ever started on one cluster. As root the servers run as an unprivileged user, whose own the directories `postgres`,
//! `redis` and `run` are: below them root writes nothing. A directory that others can tamper with is refused.
//!
//! Left out on purpose: migrations and the roles (`up` does those), upgrades from one PostgreSQL release to the next.

mod account;
mod cluster;
mod data_dir;
mod error;
mod external;
mod launch;
mod log_file;
mod orphan;
mod owned;
mod postgres;
mod programs;
mod redis;
mod run;
mod secrets;
mod server;
mod supervisor;
mod template;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

use tokio::process::Child;
use tokio::sync::watch;

pub(crate) use self::error::ServicesError;
pub(crate) use self::external::External;
pub(crate) use self::owned::make_private_dir;
pub(crate) use self::run::{RunOptions, run_with_services};
pub(crate) use self::secrets::keep_private;
pub(crate) use self::supervisor::Health;
pub(crate) use self::template::make_template;

use self::data_dir::DataDir;
use self::launch::launch;
use self::postgres::Postgres;
use self::redis::Redis;
use self::server::Server;
use self::supervisor::Supervisor;

/// What a crash of the machine may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Nothing that PostgreSQL committed; of Redis the last second.
    Durable,
    /// Everything: for tests, where speed is worth more.
    Ephemeral,
}

/// Where and how the servers are to run.
#[derive(Clone, Debug)]
pub(crate) struct ServicesOptions {
    /// The directory that holds both servers; made if missing.
    pub(crate) data_dir: PathBuf,
    /// What a crash of the machine may take.
    pub(crate) durability: Durability,
    /// A directory of [`make_template`], copied where the data directory has no cluster yet.
    pub(crate) template: Option<PathBuf>,
    /// Servers that stand elsewhere and are used in place of private ones.
    pub(crate) external: External,
}

/// Both servers, ready for connections. Dropping it kills the private ones; [`Services::stop`] ends them orderly.
pub(crate) struct Services {
    database_url: String,
    redis_url: String,
    health: watch::Receiver<Health>,
    supervisors: Vec<Supervisor>,
    _data_dir: DataDir,
}

/// Without the URLs, which hold the passwords.
impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("health", &*self.health.borrow()).finish_non_exhaustive()
    }
}

impl Services {
    /// Starts what is not external and waits until it answers. Fails at once if another process uses the directory.
    pub(crate) async fn start(options: ServicesOptions) -> Result<Self, ServicesError> {
        let data_dir = DataDir::open(options.data_dir).await?;
        let External { database_url, redis_url } = options.external;
        let (postgres, redis) = tokio::try_join!(
            launch_unless(database_url.is_some(), async {
                Postgres::prepare(&data_dir, options.durability, options.template).await.map(Server::Postgres)
            }),
            launch_unless(redis_url.is_some(), async {
                Redis::prepare(&data_dir, options.durability).map(Server::Redis)
            }),
        )?;
        let url = |external: Option<String>, private: &Option<(Server, Child)>| {
            external.or_else(|| private.as_ref().map(|(server, _)| server.url())).unwrap_or_default()
        };
        let (sender, health) = watch::channel(Health::default());
        Ok(Self {
            database_url: url(database_url, &postgres),
            redis_url: url(redis_url, &redis),
            health,
            supervisors: [postgres, redis]
                .into_iter()
                .flatten()
                .map(|(server, child)| Supervisor::spawn(server, child, sender.clone()))
                .collect(),
            _data_dir: data_dir,
        })
    }

    /// The URL of the `makima` database, password included.
    pub(crate) fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The URL of Redis, password included.
    pub(crate) fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// Changes whenever a private server dies or is back; dead servers are started again without anyone's help.
    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Ends the private servers orderly, the ones that do not end in time by force.
    pub(crate) async fn stop(self) {
        futures_util::future::join_all(self.supervisors.into_iter().map(Supervisor::stop)).await;
    }
}

/// Prepares and starts a server unless one stands elsewhere.
async fn launch_unless(
    external: bool,
    prepare: impl Future<Output = Result<Server, ServicesError>>,
) -> Result<Option<(Server, Child)>, ServicesError> {
    if external {
        return Ok(None);
    }
    let server = prepare.await?;
    let child = launch(&server).await?;
    Ok(Some((server, child)))
}
