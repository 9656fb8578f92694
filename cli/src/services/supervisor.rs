//! Keeps a server running: a dead one is started again, with a growing pause, until somebody stops it.

use std::time::Duration;

use nix::sys::signal::kill;
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::launch::launch;
use super::server::{Server, ServerName};

/// The pause before a second start, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How the private servers fare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// PostgreSQL.
    pub(crate) postgres: ServerHealth,
    /// Redis.
    pub(crate) redis: ServerHealth,
}

/// How one server fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerHealth {
    /// How often it died without being asked to.
    pub(crate) deaths: u32,
    /// It died and is not back yet.
    pub(crate) down: bool,
}

impl Health {
    fn of(&mut self, server: ServerName) -> &mut ServerHealth {
        match server {
            ServerName::Postgres => &mut self.postgres,
            ServerName::Redis => &mut self.redis,
        }
    }
}

/// The task that owns one server's process. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct Supervisor {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Takes over a server that runs.
    pub(super) fn spawn(server: Server, child: Child, health: watch::Sender<Health>) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(supervise(server, child, health, stop.clone()));
        Self { stop, task }
    }

    /// Ends the server and waits for it.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        if let Err(failed) = (&mut self.task).await {
            tracing::error!(error = %failed, "the supervisor of a server failed");
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn supervise(server: Server, mut child: Child, health: watch::Sender<Health>, stop: CancellationToken) {
    let name = server.name();
    loop {
        let status = tokio::select! {
            status = child.wait() => status,
            () = stop.cancelled() => return end(name, child).await,
        };
        let status = status.map_or_else(|failed| failed.to_string(), |status| status.to_string());
        tracing::error!(server = %name, %status, log = %server.log().display(), "died; starting it again");
        health.send_modify(|health| {
            let server = health.of(name);
            server.deaths += 1;
            server.down = true;
        });
        let restarted = stop.run_until_cancelled(start_again(&server)).await;
        let Some(restarted) = restarted else { return };
        child = restarted;
        tracing::info!(server = %name, "runs again");
        health.send_modify(|health| health.of(name).down = false);
    }
}

async fn start_again(server: &Server) -> Child {
    let mut pause = FIRST_PAUSE;
    loop {
        match launch(server).await {
            Ok(child) => return child,
            Err(failed) => {
                tracing::error!(server = %server.name(), error = %failed, "cannot be started again yet")
            }
        }
        sleep(pause).await; // why: back-off before the next start
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Ends a server: orderly, and by force if it takes too long.
pub(super) async fn end(name: ServerName, mut child: Child) {
    for (signal, patience) in name.stop_signals() {
        let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) else { return };
        let _ = kill(Pid::from_raw(pid), *signal);
        match timeout(*patience, child.wait()).await {
            Ok(_) => return,
            Err(_) => {
                tracing::warn!(server = %name, %signal, ?patience, "does not end; sending a stronger signal")
            }
        }
    }
}
