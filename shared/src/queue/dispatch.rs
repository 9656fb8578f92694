//! Ready tasks: by priority, then age, past the workers that shall not have them.

use redis::Script;

use super::{Queue, QueueError};
use crate::domain::{TaskId, WorkerId};
use crate::store::ReadyTask;

/// How many ready tasks a claim looks at to find one that the worker may have.
const CLAIM_LOOKS: u32 = 1024;
/// How long an unread inbox lives.
pub(super) const INBOX_TTL_MS: u64 = 60_000;
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
        let script = Script::new(include_str!("lua/push_ready.lua"));
        for batch in tasks.chunks(500) {
            let mut call = script.key(self.keys.ready());
            call.key(self.keys.excluded()).key(self.keys.waiting());
            call.arg(self.keys.inbox_prefix()).arg(INBOX_TTL_MS);
            for task in batch {
                let excluded: Vec<_> = task.excluded_worker_ids.iter().map(WorkerId::to_string).collect();
                call.arg(task.id.to_string()).arg(score(task)).arg(excluded.join(" "));
            }
            call.invoke_async::<i64>(&mut self.connection.clone()).await?;
        }
        Ok(())
    }

    /// Takes up to `wanted` tasks for a worker. One that gets none is rung through its inbox when there is something.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn ready_claim(&self, worker: WorkerId, wanted: usize) -> Result<Vec<TaskId>, QueueError> {
        let ids: Vec<String> = Script::new(include_str!("lua/claim_ready.lua"))
            .key(self.keys.ready())
            .key(self.keys.excluded())
            .key(self.keys.waiting())
            .arg(worker.to_string())
            .arg(wanted)
            .arg(CLAIM_LOOKS)
            .invoke_async(&mut self.connection.clone())
            .await?;
        Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
    }

    /// Takes a task out that is not to be dispatched any more.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn ready_remove(&self, task: TaskId) -> Result<(), QueueError> {
        redis::pipe()
            .zrem(self.keys.ready(), task.to_string())
            .ignore()
            .hdel(self.keys.excluded(), task.to_string())
            .ignore()
            .query_async::<()>(&mut self.connection.clone())
            .await?;
        Ok(())
    }

    /// Returns those of the given tasks that Redis does not know as ready.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn ready_missing(&self, tasks: Vec<ReadyTask>) -> Result<Vec<ReadyTask>, QueueError> {
        if tasks.is_empty() {
            return Ok(tasks);
        }
        let members: Vec<_> = tasks.iter().map(|task| task.id.to_string()).collect();
        let scores: Vec<Option<f64>> = redis::cmd("ZMSCORE")
            .arg(self.keys.ready())
            .arg(members)
            .query_async(&mut self.connection.clone())
            .await?;
        Ok(tasks.into_iter().zip(scores).filter(|(_, score)| score.is_none()).map(|(task, _)| task).collect())
    }
}
