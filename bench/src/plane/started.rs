//! Word of starts: a runner tells the clock's time, its task and its process over a datagram socket of this machine.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use makima_shared::domain::TaskId;
use sqlx::types::Uuid;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

/// A start that was not told by then never will be.
const PATIENCE: Duration = Duration::from_secs(60);
const BYTES: usize = 16 + 16 + 4;

/// A task's runner was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) task: TaskId,
    pub(super) at: SystemTime,
    /// The worker's process.
    pub(super) pid: u32,
}

impl Start {
    pub(super) fn to_bytes(self) -> [u8; BYTES] {
        let nanos = self.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let mut bytes = [0; BYTES];
        bytes[..16].copy_from_slice(self.task.uuid().as_bytes());
        bytes[16..32].copy_from_slice(&nanos.to_le_bytes());
        bytes[32..].copy_from_slice(&self.pid.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; BYTES]) -> anyhow::Result<Self> {
        let nanos = u128::from_le_bytes(bytes[16..32].try_into()?);
        Ok(Self {
            task: Uuid::from_slice(&bytes[..16])?.into(),
            at: UNIX_EPOCH + Duration::from_nanos(u64::try_from(nanos)?),
            pid: u32::from_le_bytes(bytes[32..].try_into()?),
        })
    }
}

/// The listener's end.
pub(super) struct Starts {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Drop for Starts {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Starts {
    /// Listens in a directory.
    pub(super) fn listen(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join("starts.sock");
        let socket = UnixDatagram::bind(&path).context("cannot listen for starts")?;
        Ok(Self { socket, path })
    }

    /// Returns where it listens.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the next start.
    pub(super) async fn next(&self) -> anyhow::Result<Start> {
        let mut bytes = [0; BYTES];
        let received = timeout(PATIENCE, self.socket.recv(&mut bytes)).await;
        let length = received.context("a task was not started within a minute")??;
        ensure!(length == BYTES, "the word of a start is cut");
        Start::from_bytes(&bytes)
    }

    /// Waits for the start of one task; others meanwhile are no concern.
    pub(super) async fn of(&self, task: TaskId) -> anyhow::Result<Start> {
        loop {
            let start = self.next().await?;
            if start.task == task {
                return Ok(start);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_read_back_to_the_nanosecond() {
        let at = UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
        let start = Start { task: TaskId::new(), at, pid: 77 };
        assert_eq!(Start::from_bytes(&start.to_bytes()).unwrap(), start);
    }
}
