//! The worker's side of one agent: starts its shim, stops it, learns how it ended.
//!
//! The agent's process tree is the shim's affair (see [`crate::shim`]); this module owns the shim's process and the
//! worker's end of its control socket. Dropping an [`AgentProcess`] closes the socket, upon which the shim kills the
//! whole tree: that is this module's `kill_on_drop`, since killing the shim instead would orphan the tree.
//!
//! **Invariant**: when [`AgentProcess::wait`] returns, no process of the agent lives, except where
//! [`TreeEnd::survivors`] says so.
//!
//! Left out on purpose: output (see [`crate::output`]), what an exit code means, timeouts of the task.

mod abandoned;
mod end;
mod orphans;
mod start;
mod strays;
mod switches;

use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::time::Instant;

use crate::sandbox::Cgroup;
use crate::shim::ShimStatus;
pub use crate::shim::{KillReason, boottime_ms, own_executable};
pub use abandoned::kill_abandoned;
pub use end::{AgentEnd, TreeEnd};
pub use nix::sys::signal::Signal;
pub use orphans::reap_orphans;
pub use start::{AgentCommand, StartError};
pub use strays::kill_strays;
pub use switches::{DeadManSwitch, DeadManSwitches};

/// How much longer than a stop's grace the shim may take to clear the tree before it counts as stuck.
const STOP_SLACK: Duration = Duration::from_secs(15);

/// A running agent with its shim.
#[derive(Debug)]
pub struct AgentProcess {
    child: Child,
    switch: DeadManSwitch,
    /// The same socket as the switch's, for what the shim says at its end.
    shim: BufReader<UnixStream>,
    said: Option<ShimStatus>,
    /// When a shim that was told to stop counts as stuck.
    stuck_at: Option<Instant>,
    /// Removed with this.
    _cgroup: Option<Arc<Cgroup>>,
}

impl AgentProcess {
    /// Starts the agent under the lease that `switches` was last told of.
    ///
    /// A missing agent is no error here: it comes as [`AgentEnd::NotStarted`]. Makes the calling process a child
    /// subreaper, so that [`kill_strays`] finds the processes of a shim that was killed.
    pub async fn start(command: &AgentCommand, switches: &Arc<DeadManSwitches>) -> Result<Self, StartError> {
        let (child, socket) = start::start_shim(command, switches.lease_until_ms()).await?;
        let shim = BufReader::new(socket.try_clone().map_err(StartError::Socket)?);
        let switch = switches.register(socket.into()).map_err(StartError::Socket)?;
        Ok(Self { child, switch, shim, said: None, stuck_at: None, _cgroup: command.confined.cgroup.clone() })
    }

    /// Takes the agent's stdout. Both pipes must be read, or the agent blocks once they are full. They end when the
    /// last process of the tree has ended.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Takes the agent's stderr.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Names the shim's process, until it has ended.
    pub fn shim_pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Has every process of the tree signalled, and killed if it still lives after the grace. Later calls can only
    /// shorten the grace.
    pub fn stop(&mut self, signal: Signal, grace: Duration) {
        self.switch.stop(signal, grace);
        let stuck_at = Instant::now() + grace + STOP_SLACK;
        self.stuck_at = Some(self.stuck_at.map_or(stuck_at, |earlier| earlier.min(stuck_at)));
    }

    /// Waits for the end of the whole tree. May be dropped and called again.
    pub async fn wait(&mut self) -> AgentEnd {
        let exited = match self.stuck_at {
            None => self.child.wait().await,
            Some(at) => match tokio::time::timeout_at(at, self.child.wait()).await {
                Ok(exited) => exited,
                Err(_stuck) => {
                    tracing::warn!(shim.pid = self.child.id(), "the agent's shim does not stop, killing it");
                    // It may have ended in this moment; then there is nothing to kill.
                    let _ = self.child.start_kill();
                    self.child.wait().await
                }
            },
        };
        match exited {
            Ok(status) if status.success() => match self.last_word() {
                Ok(said) => AgentEnd::from(said),
                Err(error) => {
                    lost(format!("what its supervising process said cannot be read: {error}")).await
                }
            },
            Ok(status) => lost(self.describe_loss(status)).await,
            Err(error) => lost(format!("its supervising process cannot be waited for: {error}")).await,
        }
    }

    /// Reads what a shim that has ended said. Does not block: all of it is there, or never comes.
    fn last_word(&mut self) -> io::Result<ShimStatus> {
        match &self.said {
            Some(said) => Ok(said.clone()),
            None => Ok(self.said.insert(ShimStatus::receive(&mut self.shim)?).clone()),
        }
    }

    fn describe_loss(&mut self, status: ExitStatus) -> String {
        let known = self.last_word().map_or_else(
            |_| "before it could say how the agent ended".to_owned(),
            |said| format!("after it had reported {:?}", said.outcome),
        );
        format!("its supervising process ended ({status}) {known}")
    }
}

async fn lost(detail: String) -> AgentEnd {
    // The sweep reads /proc and waits for children.
    if let Err(error) = tokio::task::spawn_blocking(kill_strays).await {
        tracing::error!(%error, "the sweep for an agent's processes failed");
    }
    AgentEnd::Lost { detail }
}
