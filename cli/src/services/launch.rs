//! Starts a server and waits until it can be used.
//!
//! A server that is no child's child of ours sends no signal when it is ready, so readiness is polled for: in short
//! steps, with an end, and with the death of the process noticed at once.

use std::process::ExitStatus;
use std::time::Duration;

use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use super::error::ServicesError;
use super::log_file::LogFile;
use super::orphan;
use super::server::{Probe, Server};

/// Time between two probes.
const PROBE_EVERY: Duration = Duration::from_millis(10);
/// A probe that has no answer by then is made anew.
const PROBE_WITHIN: Duration = Duration::from_secs(5);
/// Recovery after a crash replays the log since the last checkpoint, which takes minutes at worst.
const READY_WITHIN: Duration = Duration::from_secs(300);
/// The processes of a killed PostgreSQL notice it and end within moments, unless the disk holds them up.
const RELEASED_WITHIN: Duration = Duration::from_secs(60);
/// Time between two starts while they do.
const RELEASE_EVERY: Duration = Duration::from_millis(200);

/// Starts the server, after ending what an earlier start may have left running.
pub(super) async fn launch(server: &Server) -> Result<Child, ServicesError> {
    orphan::stop(&server.traces()).await?;
    server.prepare_start().await?;
    let patient_until = Instant::now() + RELEASED_WITHIN;
    let mut told = false;
    loop {
        match start_once(server).await {
            Err(ServicesError::ExitedEarly { tail, .. })
                if still_in_use(&tail) && Instant::now() < patient_until =>
            {
                if !told {
                    tracing::warn!(server = %server.name(), "processes of the killed server are still ending; waiting");
                    told = true;
                }
                sleep(RELEASE_EVERY).await;
            }
            Err(ServicesError::ExitedEarly { tail, .. }) if set_aside(server, &tail)? => {
                tracing::warn!(
                    "Redis cannot read its append-only file; it is set aside, PostgreSQL has the tasks"
                );
            }
            outcome => return outcome,
        }
    }
}

/// True for PostgreSQL's words while a process of a killed server still holds its shared memory, and for no others.
fn still_in_use(log: &str) -> bool {
    log.contains("pre-existing shared memory block") && log.contains("is still in use")
}

fn set_aside(server: &Server, log: &str) -> Result<bool, ServicesError> {
    match server {
        Server::Postgres(_) => Ok(false),
        Server::Redis(redis) => redis.set_aside_unreadable(log),
    }
}

async fn start_once(server: &Server) -> Result<Child, ServicesError> {
    let log = LogFile::open(server.log())?;
    let mut command = server.command()?;
    command.stdout(log.stdio()?).stderr(log.stdio()?);
    let program = command.as_std().get_program().to_owned();
    let mut child = command.spawn().map_err(ServicesError::io("run", program.as_ref()))?;
    let exited = |status: ExitStatus| ServicesError::ExitedEarly {
        server: server.name(),
        status,
        log: server.log().to_owned(),
        tail: log.tail(),
    };
    let status = tokio::select! {
        biased;
        status = child.wait() => status.map_err(ServicesError::io("wait for", program.as_ref()))?,
        ready = ready(server) => return ready.map(|()| child),
    };
    Err(exited(status))
}

async fn ready(server: &Server) -> Result<(), ServicesError> {
    let give_up = Instant::now() + READY_WITHIN;
    loop {
        let not_ready = |seconds: Duration, reason| ServicesError::NotReady {
            server: server.name(),
            seconds: seconds.as_secs(),
            reason,
            log: server.log().to_owned(),
        };
        match timeout(PROBE_WITHIN, server.probe()).await.unwrap_or(Probe::NotYet("no answer".to_owned())) {
            Probe::Ready => return Ok(()),
            Probe::NotYet(reason) if Instant::now() > give_up => return Err(not_ready(READY_WITHIN, reason)),
            Probe::Never(reason) => return Err(not_ready(Duration::ZERO, reason)),
            Probe::NotYet(_) => sleep(PROBE_EVERY).await,
        }
    }
}
