//! What the two kinds of server have in common, so that one supervisor can start, watch and stop either.

use std::fmt::{self, Display};
use std::fs;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::process::Command;

use super::account::Account;
use super::error::ServicesError;
use super::orphan::Traces;
use super::postgres::Postgres;
use super::redis::Redis;

/// Which of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerName {
    /// PostgreSQL.
    Postgres,
    /// Redis or Valkey.
    Redis,
}

impl Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Redis => "Redis",
        })
    }
}

impl ServerName {
    /// The signals that end the server, the gentlest first, each with the time that it gets before the next.
    /// PostgreSQL: <https://www.postgresql.org/docs/current/server-shutdown.html>, fast, then immediate.
    pub(super) fn stop_signals(self) -> &'static [(Signal, Duration)] {
        const FAST: Duration = Duration::from_secs(60);
        const SHORT: Duration = Duration::from_secs(5);
        match self {
            Self::Postgres => &[(Signal::SIGINT, FAST), (Signal::SIGQUIT, SHORT), (Signal::SIGKILL, SHORT)],
            Self::Redis => &[(Signal::SIGTERM, FAST), (Signal::SIGKILL, SHORT)],
        }
    }
}

/// How a server answered.
#[derive(Debug)]
pub(super) enum Probe {
    /// It can be used.
    Ready,
    /// It may yet come up.
    NotYet(String),
    /// Waiting will not help.
    Never(String),
}

/// A private server that can be started.
#[derive(Clone, Debug)]
pub(super) enum Server {
    Postgres(Postgres),
    Redis(Redis),
}

impl Server {
    pub(super) fn name(&self) -> ServerName {
        match self {
            Self::Postgres(_) => ServerName::Postgres,
            Self::Redis(_) => ServerName::Redis,
        }
    }

    /// The URL that clients use, password included.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Postgres(server) => server.url(),
            Self::Redis(server) => server.url(),
        }
    }

    /// The file that the server logs to.
    pub(super) fn log(&self) -> &Path {
        match self {
            Self::Postgres(server) => &server.log,
            Self::Redis(server) => &server.log,
        }
    }

    /// By what an earlier process of the server is known.
    pub(super) fn traces(&self) -> Traces {
        match self {
            Self::Postgres(server) => Traces::postgres(&server.cluster),
            Self::Redis(server) => Traces::redis(&server.dir),
        }
    }

    /// The command that runs the server in the foreground.
    pub(super) fn command(&self) -> Result<Command, ServicesError> {
        match self {
            Self::Postgres(server) => Ok(server.command()),
            Self::Redis(server) => server.command(),
        }
    }

    /// Puts the files in order that a start reads. Only to be called when no process of the server is left.
    pub(super) async fn prepare_start(&self) -> Result<(), ServicesError> {
        match self {
            Self::Postgres(server) => server.prepare_start().await,
            Self::Redis(server) => server.prepare_start(),
        }
    }

    /// Asks the server whether it can be used.
    pub(super) async fn probe(&self) -> Probe {
        match self {
            Self::Postgres(server) => server.probe().await,
            Self::Redis(server) => server.probe().await,
        }
    }
}

/// Builds a command that runs as `account` in a process group of its own, so that Ctrl-C leaves it to us, with nothing
/// of our environment but where programs and libraries are.
pub(super) fn command(program: &Path, account: &Account) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").env("TZ", "UTC");
    for name in ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.current_dir("/").stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    account.apply(&mut command);
    command
}

/// Runs a short command to its end; what it says is the error if it fails.
pub(super) async fn succeed(mut command: Command) -> io::Result<()> {
    let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output().await?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())))
}

/// Removes files that a dead server may have left.
pub(super) fn remove_stale(paths: &[&Path]) -> Result<(), ServicesError> {
    for path in paths {
        match fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(ServicesError::Io { action: "remove", path: path.to_path_buf(), source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
