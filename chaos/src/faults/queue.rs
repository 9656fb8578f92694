//! A hint is given far too often.

use anyhow::Context;
use chrono::{DateTime, Utc};
use makima_shared::domain::{OwnerId, TaskId, TaskStatus};
use makima_shared::queue::Queue;
use makima_shared::store::ReadyTask;

use super::Planned;
use crate::stack::Stack;

const TIMES: usize = 100;
/// The prefix of all keys, which the roles are not told otherwise.
const PREFIX: &str = "makima";

/// Pushes a task 100 times, whether it is queued, runs, or ended long ago: pushing is to be harmless.
pub(super) async fn push_again(stack: &Stack, fault: &Planned) -> anyhow::Result<String> {
    let status = [TaskStatus::Queued, TaskStatus::Running, TaskStatus::Done][fault.choose(3)];
    let row: Option<(TaskId, OwnerId, i16, DateTime<Utc>)> = sqlx::query_as(
        "SELECT id, owner_id, priority, coalesce(queued_at, created_at) FROM tasks
         ORDER BY status = $1 DESC, id DESC LIMIT 1",
    )
    .bind(status)
    .fetch_optional(&stack.pool)
    .await?;
    let (id, owner_id, priority, queued_at) = row.context("there is no task yet")?;
    let queue = Queue::open(&stack.redis_url, PREFIX)?;
    let task = ReadyTask {
        id,
        owner_id,
        owner_weight: 1,
        priority,
        queued_at,
        labels: Vec::new(),
        excluded_worker_ids: Vec::new(),
    };
    for _ in 0..TIMES {
        queue.ready_push(std::slice::from_ref(&task)).await?;
    }
    Ok(format!("task {}, {status} or the newest", id.short()))
}
