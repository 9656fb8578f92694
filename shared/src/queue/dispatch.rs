//! Ready tasks: owners by their share, the tasks of one by priority, then age, past the workers that shall not have them.
//!
//! Owners come first and priorities after: a priority orders the tasks of its owner and takes nothing from others.

use std::collections::BTreeMap;

use redis::Script;

use super::{Queue, QueueError};
use crate::domain::{OwnerId, TaskId, WorkerId};
use crate::store::ReadyTask;

/// How long an unread inbox lives.
pub(super) const INBOX_TTL_MS: u64 = 60_000;
/// How many tasks one call of a script enters.
const PUSH_BATCH: usize = 500;
/// The most tasks of one claim.
pub const MAX_CLAIM: usize = 500;
/// More milliseconds than any date of this millennium: what one step of priority weighs.
const PRIORITY_STEP: i64 = 1 << 45;

/// Returns a task's place in the order: higher priority first, then the older one. Below 2^53, so exact in a double.
fn score(task: &ReadyTask) -> i64 {
    i64::from(100 - task.priority) * PRIORITY_STEP + task.queued_at.timestamp_millis()
}

impl Queue {
    /// Enters tasks as ready and rings waiting workers. Entering a task twice is harmless.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn ready_push(&self, tasks: &[ReadyTask]) -> Result<(), QueueError> {
        self.enter(tasks, "all").await
    }

    /// The same for tasks that were found missing: one that was entered since then stays as it was entered, because what was
    /// read of it before, such as whom it excludes, may be past.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn ready_restore(&self, tasks: &[ReadyTask]) -> Result<(), QueueError> {
        self.enter(tasks, "missing").await
    }

    async fn enter(&self, tasks: &[ReadyTask], which: &str) -> Result<(), QueueError> {
        let script = Script::new(include_str!("lua/push_ready.lua"));
        for batch in tasks.chunks(PUSH_BATCH) {
            let mut call = script.key(self.keys.root());
            call.arg(INBOX_TTL_MS).arg(which);
            for task in batch {
                let excluded: Vec<_> = task.excluded_worker_ids.iter().map(WorkerId::to_string).collect();
                call.arg(task.id.to_string())
                    .arg(score(task))
                    .arg(task.owner_id.to_string())
                    .arg(task.owner_weight)
                    .arg(task.labels.join(" "))
                    .arg(excluded.join(" "));
            }
            call.invoke_async::<i64>(&mut self.connection.clone()).await?;
        }
        Ok(())
    }

    /// Takes up to `wanted` tasks for a worker that offers `labels`. One that gets none is rung through its inbox when there
    /// is something.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn ready_claim(
        &self,
        worker: WorkerId,
        labels: &[String],
        wanted: usize,
    ) -> Result<Vec<TaskId>, QueueError> {
        let ids: Vec<String> = Script::new(include_str!("lua/claim_ready.lua"))
            .key(self.keys.root())
            .arg(worker.to_string())
            .arg(labels.join(" "))
            .arg(wanted.min(MAX_CLAIM))
            .invoke_async(&mut self.connection.clone())
            .await?;
        Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
    }

    /// Takes a task out that is not to be dispatched any more.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn ready_remove(
        &self,
        task: TaskId,
        owner: OwnerId,
        labels: &[String],
    ) -> Result<(), QueueError> {
        Script::new(include_str!("lua/remove_ready.lua"))
            .key(self.keys.root())
            .arg(task.to_string())
            .arg(owner.to_string())
            .arg(labels.join(" "))
            .invoke_async::<()>(&mut self.connection.clone())
            .await?;
        Ok(())
    }

    /// Returns those of the given tasks that Redis does not know as ready.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn ready_missing(&self, tasks: Vec<ReadyTask>) -> Result<Vec<ReadyTask>, QueueError> {
        let mut lanes: BTreeMap<String, Vec<ReadyTask>> = BTreeMap::new();
        for task in tasks {
            lanes.entry(self.keys.lane(task.owner_id, &task.labels.join(" "))).or_default().push(task);
        }
        if lanes.is_empty() {
            return Ok(Vec::new());
        }
        let mut look = redis::pipe();
        for (lane, tasks) in &lanes {
            let members: Vec<_> = tasks.iter().map(|task| task.id.to_string()).collect();
            look.cmd("ZMSCORE").arg(lane).arg(members);
        }
        let scores: Vec<Vec<Option<f64>>> = look.query_async(&mut self.connection.clone()).await?;
        let known = scores.into_iter().flatten();
        let tasks = lanes.into_values().flatten();
        Ok(tasks.zip(known).filter(|(_, score)| score.is_none()).map(|(task, _)| task).collect())
    }

    /// Tells whether Redis was wiped since [`Queue::mark_filled`], or never filled.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn is_wiped(&self) -> Result<bool, QueueError> {
        let known: bool =
            redis::cmd("EXISTS").arg(self.keys.filled()).query_async(&mut self.connection.clone()).await?;
        Ok(!known)
    }

    /// Notes that every queued task is about to be entered. If Redis is wiped meanwhile, the note goes too.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn mark_filled(&self) -> Result<(), QueueError> {
        redis::cmd("SET")
            .arg(self.keys.filled())
            .arg(1)
            .query_async::<()>(&mut self.connection.clone())
            .await?;
        Ok(())
    }
}
