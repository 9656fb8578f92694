//! The kill of the worker that runs `backend`: chosen so that its agent has work which no checkpoint holds. Its workspace
//! goes with it, as with a machine: the worker's next life, a moment later, would go on in it, and nothing would be lost.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use makima_shared::domain::{TaskId, Worker};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

use super::board::Row;
use super::graph::INTERVAL;
use super::journal::Journal;
use super::stack::Stack;
use crate::client::Client;

/// The file that the victim writes its lines to.
pub(crate) const JOURNAL: &str = "src/server/routes.txt";
const MIN_CHECKPOINTS: i32 = 2;
const MIN_LINES: usize = 70;
/// So many lines after a checkpoint make a loss that one sees.
const UNSAVED_LINES: usize = 5;

/// Waits for the moment.
pub(crate) struct Ambush {
    journal: Option<Journal>,
    checkpoint: i32,
    /// When the newest checkpoint was heard of, and how many lines there were.
    since: (Instant, usize),
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Kill {
    /// The worker as it was a moment before.
    pub(crate) worker: Worker,
    /// The newest checkpoint that was known then.
    pub(crate) checkpoint: i32,
    /// How many lines were on the disk then.
    pub(crate) lines: usize,
    pub(crate) at: DateTime<Utc>,
    /// What its agent wrote.
    pub(crate) journal: Journal,
}

impl Ambush {
    /// Nothing has happened yet.
    pub(crate) fn new() -> Self {
        Self { journal: None, checkpoint: 0, since: (Instant::now(), 0) }
    }

    /// Tells whether the moment has come: lines are on the disk that the newest checkpoint does not hold, and the next
    /// one is not due yet.
    pub(crate) fn is_due(&mut self, row: &Row) -> anyhow::Result<bool> {
        let Some(workspace) = &row.workspace else { return Ok(false) };
        if self.journal.is_none() {
            self.journal = Journal::open(&Path::new(workspace).join(JOURNAL))?;
        }
        let Some(journal) = &self.journal else { return Ok(false) };
        let lines = journal.lines()?;
        if row.checkpoint != self.checkpoint {
            self.checkpoint = row.checkpoint;
            self.since = (Instant::now(), lines);
        }
        let (since, then) = self.since;
        let (age, unsaved) = (since.elapsed(), lines.saturating_sub(then));
        let enough = row.checkpoint >= MIN_CHECKPOINTS && lines >= MIN_LINES;
        Ok(enough && is_between_checkpoints(age, unsaved))
    }

    /// Kills the worker that holds the task, and puts the workspace where nobody looks for it.
    pub(crate) async fn strike(
        self,
        client: &Client,
        stack: &Stack,
        victim: TaskId,
        workspace: &Path,
    ) -> anyhow::Result<Kill> {
        let journal = self.journal.context("nothing is known of the work of backend")?;
        let holder =
            client.task(victim).await?.task.worker_id.context("nobody holds backend at this moment")?;
        let workers = stack.workers(client).await?;
        let worker = workers.into_iter().find(|worker| worker.id == holder);
        let worker = worker.context("the worker of backend is not one of this demo's")?;
        ensure!(stack.started(worker.pid), "process {} is not this demo's", worker.pid);
        let lines = journal.lines()?;
        let root = workspace.parent().context("the workspace has no directory")?;
        // Before the kill, so that the next life surely finds nothing.
        std::fs::rename(root, stack.lost_disk()).context("cannot take the workspace away")?;
        kill(Pid::from_raw(worker.pid), Signal::SIGKILL).context("cannot kill the worker")?;
        Ok(Kill { worker, checkpoint: self.checkpoint, lines, at: Utc::now(), journal })
    }
}

/// Where lines come slowly, one is enough when the next checkpoint draws near.
fn is_between_checkpoints(age: Duration, unsaved: usize) -> bool {
    let late = age > INTERVAL.mul_f64(0.6);
    let too_late = age > INTERVAL.mul_f64(0.8);
    !too_late && (unsaved >= UNSAVED_LINES || late && unsaved > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_is_between_two_checkpoints_with_work_at_stake() {
        let at = |millis, unsaved| is_between_checkpoints(Duration::from_millis(millis), unsaved);
        assert!(at(500, 5) && at(700, 1));
        assert!(!at(500, 4) && !at(700, 0) && !at(900, 9));
    }
}
