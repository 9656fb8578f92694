//! What the queue is told of a task that any eligible worker may claim.

use chrono::{DateTime, Utc};

use crate::domain::{OwnerId, TaskId, WorkerId};

/// What the queue needs to know of a task.
#[derive(Clone, Debug)]
pub struct ReadyTask {
    /// The task.
    pub id: TaskId,
    /// Whose it is: owners share the workers.
    pub owner_id: OwnerId,
    /// The owner's share, beside those of others.
    pub owner_weight: i32,
    /// 0 to 100; higher goes first among the owner's tasks.
    pub priority: i16,
    /// Since when it is ready; older goes first.
    pub queued_at: DateTime<Utc>,
    /// What a worker must offer, sorted.
    pub labels: Vec<String>,
    /// The workers that shall not take it.
    pub excluded_worker_ids: Vec<WorkerId>,
}
