//! The private PostgreSQL.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use super::account::Account;
use super::{child, programs};

/// The superuser, and the database that makima uses.
const NAME: &str = "makima";
/// Names the socket. Nothing listens on that port.
const PORT: u16 = 5432;
/// What PostgreSQL makes of the port.
pub(crate) const SOCKET: &str = ".s.PGSQL.5432";
/// How long the harness itself waits for a connection before it takes PostgreSQL for gone.
const PATIENCE: Duration = Duration::from_secs(2);
/// The processes of an immediate stop end within moments, unless the disk holds them up.
const RELEASED_WITHIN: Duration = Duration::from_secs(60);
const RELEASE_EVERY: Duration = Duration::from_millis(200);

/// PostgreSQL over a cluster of the run's own.
pub(crate) struct Postgres {
    programs: PathBuf,
    cluster: PathBuf,
    run: PathBuf,
    log: PathBuf,
    account: Account,
    child: Option<Child>,
}

impl Postgres {
    /// Makes the cluster.
    pub(super) async fn make(root: &Path, account: Account) -> anyhow::Result<Self> {
        let made = Self {
            programs: programs::postgres()?,
            cluster: root.join("postgres"),
            run: root.join("pg"),
            log: root.join("log/postgres.log"),
            account,
            child: None,
        };
        made.account.make_dir(&made.cluster)?;
        made.account.make_dir(&made.run)?;
        let mut initdb = child::command(&made.programs.join("initdb"), &made.account);
        initdb.arg("-D").arg(&made.cluster).args(["--username", NAME, "--auth-local", "trust"]);
        initdb.args(["--auth-host", "reject", "--encoding", "UTF8", "--locale", "C", "--no-instructions"]);
        let output = initdb.output().await.context("cannot run initdb")?;
        ensure!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(made)
    }

    /// Starts it and waits until it answers, at the end of its recovery if it was stopped the hard way.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        let give_up = Instant::now() + RELEASED_WITHIN;
        loop {
            let mut child = child::spawn(self.command(), &self.log)?;
            let options = self.options("postgres");
            let ready = child::ready(&mut child, || async { answers(&options).await }).await;
            match ready {
                Ok(()) => {
                    self.child = Some(child);
                    return Ok(());
                }
                // Processes of the server before it may still hold its memory.
                Err(_) if Instant::now() < give_up => sleep(RELEASE_EVERY).await, // why: pause before the next try
                Err(error) => return Err(error.context("PostgreSQL does not start")),
            }
        }
    }

    /// Makes the database of makima.
    pub(super) async fn create_database(&self) -> anyhow::Result<()> {
        let mut connection = self.options("postgres").connect().await?;
        sqlx::query("CREATE DATABASE makima").execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Ends it at once, without a checkpoint, as a crash would.
    pub(crate) async fn stop_immediately(&mut self) {
        if let Some(mut child) = self.child.take() {
            child::end(&mut child, Signal::SIGQUIT).await;
        }
    }

    /// Ends it in order.
    pub(super) async fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child::end(&mut child, Signal::SIGINT).await;
        }
    }

    /// Returns its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.run.join(SOCKET)
    }

    /// Returns a pool for the harness itself, straight to the server.
    pub(crate) fn pool(&self) -> PgPool {
        let options = self.options(NAME);
        PgPoolOptions::new().max_connections(4).acquire_timeout(PATIENCE).connect_lazy_with(options)
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.run)
            .port(PORT)
            .ssl_mode(PgSslMode::Disable)
            .username(NAME)
            .database(database)
            .application_name("makima-chaos")
            .disable_statement_logging()
    }

    fn command(&self) -> tokio::process::Command {
        let mut command = child::command(&self.programs.join("postgres"), &self.account);
        command.arg("-D").arg(&self.cluster);
        let run = format!("unix_socket_directories={}", self.run.display());
        let settings = [
            "listen_addresses=",
            "port=5432",
            &run,
            "unix_socket_permissions=0700",
            "fsync=on",
            "synchronous_commit=on",
            "full_page_writes=on",
            "max_connections=300",
            "jit=off",
            "logging_collector=off",
        ];
        command.args(settings.iter().flat_map(|setting| ["-c", setting]));
        command
    }
}

/// Returns the URL by which a role reaches PostgreSQL through the socket in `directory`.
pub(crate) fn url(directory: &Path) -> String {
    format!("postgres://{NAME}@localhost:{PORT}/{NAME}?sslmode=disable&host={}", directory.display())
}

async fn answers(options: &PgConnectOptions) -> bool {
    let connecting = async {
        let mut connection: PgConnection = options.connect().await?;
        connection.ping().await
    };
    timeout(PATIENCE, connecting).await.is_ok_and(|answer| answer.is_ok())
}
