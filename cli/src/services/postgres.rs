//! The private PostgreSQL: how it is started, reached and asked whether it is ready.

use std::path::{Path, PathBuf};

use sqlx::migrate::MigrateDatabase;
use tokio::process::Command;
use url::Url;

use super::account::Account;
use super::cluster;
use super::data_dir::DataDir;
use super::error::ServicesError;
use super::orphan;
use super::secrets::Secrets;
use super::server::{self, Probe};
use super::{Durability, programs::PostgresPrograms};

/// The superuser, and the database that makima uses.
pub(super) const NAME: &str = "makima";
/// The socket's name, which PostgreSQL makes from its port. Nothing listens on that port.
pub(super) const SOCKET: &str = ".s.PGSQL.5432";
const PORT: u16 = 5432;
/// How many connections the server takes, where the measurement of a large fleet needs more than anybody else.
const CONNECTIONS: &str = "MAKIMA_PG_CONNECTIONS";
/// Puts the number `$1` in the first line of the pid file in `$0`, so that a crash of the machine leaves one of the two.
const REWRITE_PID_FILE: &str = r#"
    umask 077
    cd "$0"
    rm -f postmaster.pid.new
    { echo "$1"; tail -n +2 postmaster.pid; } > postmaster.pid.new
    sync
    mv -f postmaster.pid.new postmaster.pid"#;

/// PostgreSQL over the cluster of one data directory.
#[derive(Clone)]
pub(super) struct Postgres {
    pub(super) cluster: PathBuf,
    pub(super) log: PathBuf,
    programs: PostgresPrograms,
    run: PathBuf,
    account: Account,
    password: String,
    durability: Durability,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl Postgres {
    /// Makes the cluster where there is none, from the template if there is one.
    pub(super) async fn prepare(
        data_dir: &DataDir,
        durability: Durability,
        template: Option<PathBuf>,
    ) -> Result<Self, ServicesError> {
        let programs = cluster::ensure(data_dir, durability, template).await?;
        let Secrets { postgres_password, .. } = Secrets::of(data_dir)?;
        Ok(Self {
            cluster: data_dir.cluster(),
            log: data_dir.log("postgres.log"),
            programs,
            run: data_dir.run(),
            account: data_dir.account().clone(),
            password: postgres_password,
            durability,
        })
    }

    /// The URL in sqlx's form. It names the port and refuses TLS, so that `PGPORT` and `PGSSLMODE` mean nothing.
    pub(super) fn url(&self) -> String {
        let base = format!("postgres://{NAME}:{}@localhost:{PORT}/{NAME}?sslmode=disable", self.password);
        let host = [("host", &*self.run.to_string_lossy())];
        Url::parse_with_params(&base, host).map(String::from).unwrap_or(base)
    }

    /// The postmaster itself and not `pg_ctl`: a child's end is seen at once.
    pub(super) fn command(&self) -> Command {
        let mut command = server::command(&self.programs.dir.join("postgres"), &self.account);
        command.arg("-D").arg(&self.cluster);
        let safe = match self.durability {
            Durability::Durable => "on",
            Durability::Ephemeral => "off",
        };
        let connections = std::env::var(CONNECTIONS).unwrap_or_else(|_unset| "200".to_owned());
        let settings = [
            ("listen_addresses", ""),
            ("port", "5432"),
            ("unix_socket_directories", &*quoted(&self.run)),
            ("unix_socket_permissions", "0700"),
            ("fsync", safe),
            ("synchronous_commit", safe),
            ("full_page_writes", safe),
            ("max_connections", &*connections),
            ("jit", "off"),
            ("logging_collector", "off"),
            ("log_destination", "stderr"),
        ];
        for (key, value) in settings {
            command.arg("-c").arg(format!("{key}={value}"));
        }
        command
    }

    /// Clears what a dead server left: its socket, and a pid file whose number is somebody else's by now.
    pub(super) async fn prepare_start(&self) -> Result<(), ServicesError> {
        let lock = self.run.join(format!("{SOCKET}.lock"));
        server::remove_stale(&[&self.run.join(SOCKET), &lock])?;
        self.disown_pid_file().await
    }

    /// PostgreSQL refuses to start while any process has the number in its pid file, which after a reboot may be
    /// another's for good. Its parent's number it takes for stale, so ours is put in. Removing the file would be
    /// wrong: it also names the shared memory by which PostgreSQL notices processes of a killed server. The servers'
    /// user does it, who may have put anything in the place of either file.
    async fn disown_pid_file(&self) -> Result<(), ServicesError> {
        let pid_file = self.cluster.join("postmaster.pid");
        if !orphan::read_pid(&pid_file).is_some_and(orphan::is_alive) {
            return Ok(());
        }
        let mut shell = server::command(Path::new("/bin/sh"), &self.account);
        shell.args(["-ec", REWRITE_PID_FILE]).arg(&self.cluster).arg(std::process::id().to_string());
        server::succeed(shell).await.map_err(ServicesError::io("rewrite", &pid_file))
    }

    /// Connects, and makes the database if it is missing.
    pub(super) async fn probe(&self) -> Probe {
        let url = self.url();
        let made = match sqlx::Postgres::database_exists(&url).await {
            Ok(true) => Ok(()),
            Ok(false) => sqlx::Postgres::create_database(&url).await,
            Err(failed) => Err(failed),
        };
        match made {
            Ok(()) => Probe::Ready,
            // 28: invalid authorization. The cluster has another password than secrets.json.
            Err(sqlx::Error::Database(refused)) if refused.code().is_some_and(|c| c.starts_with("28")) => {
                Probe::Never(refused.to_string())
            }
            Err(failed) => Probe::NotYet(failed.to_string()),
        }
    }
}

/// Writes a path as one item of a PostgreSQL list setting.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().replace('"', "\"\""))
}
