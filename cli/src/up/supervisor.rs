//! Keeps one role running: one that ends unasked is started again, after a pause that grows while it keeps ending.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::log_lines::LogLines;
use super::role_process::{RoleProcess, RunningRole};

/// The pause before a second start, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A role that ran for so long has no trouble starting.
const STEADY_AFTER: Duration = Duration::from_secs(30);

/// The task that owns one role's process. Dropping it kills the process.
pub(super) struct Supervisor {
    name: String,
    stop: CancellationToken,
    pid: watch::Receiver<Option<i32>>,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Starts a role.
    pub(super) fn spawn(role: RoleProcess, lines: LogLines) -> Self {
        let stop = CancellationToken::new();
        let (pid_sender, pid) = watch::channel(None);
        let name = role.name().to_owned();
        let task = tokio::spawn(supervise(role, lines, stop.clone(), pid_sender));
        Self { name, stop, pid, task }
    }

    /// What the role is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The role's process, while there is one.
    pub(super) fn pid(&self) -> Option<i32> {
        *self.pid.borrow()
    }

    /// Ends the role in order, or by force if that takes too long, and waits for it.
    pub(super) async fn stop(&mut self) {
        self.stop.cancel();
        if let Err(failed) = (&mut self.task).await {
            tracing::error!(role = self.name, error = %failed, "the supervisor of a role failed");
        }
    }

    /// Kills the role at once. It is not started again once [`Supervisor::stop`] was called.
    pub(super) fn kill(&self) {
        self.stop.cancel();
        if let Some(pid) = self.pid() {
            // It may have ended by itself in this moment.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn supervise(
    role: RoleProcess,
    lines: LogLines,
    stop: CancellationToken,
    pid: watch::Sender<Option<i32>>,
) {
    let mut pause = FIRST_PAUSE;
    for life in 1.. {
        if stop.is_cancelled() {
            return;
        }
        let started_at = Instant::now();
        let ended = match role.start(life, &lines) {
            Ok(running) => match until_end(&role, running, &stop, &pid, &lines).await {
                Some(ended) => ended,
                None => return,
            },
            Err(error) => format!("cannot be started: {error}"),
        };
        if started_at.elapsed() >= STEADY_AFTER {
            pause = FIRST_PAUSE;
        }
        lines.line(role.name(), &format!("{ended}; starting it again in {} ms", pause.as_millis())).await;
        stop.run_until_cancelled(sleep(pause)).await; // why: back-off before the next start
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Waits until the role ends unasked and says how; `None` once it was ended on request.
async fn until_end(
    role: &RoleProcess,
    mut running: RunningRole,
    stop: &CancellationToken,
    pid: &watch::Sender<Option<i32>>,
    lines: &LogLines,
) -> Option<String> {
    pid.send_replace(running.pid());
    let ended = tokio::select! {
        status = running.wait() => Some(status),
        () = stop.cancelled() => None,
    };
    let Some(status) = ended else {
        if role.end(running).await {
            lines.line(role.name(), "did not end in time and was killed").await;
        }
        pid.send_replace(None);
        return None;
    };
    pid.send_replace(None);
    running.last_lines().await;
    Some(status.map_or_else(|error| format!("ended ({error})"), |status| format!("ended ({status})")))
}
