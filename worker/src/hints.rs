//! What a worker tells others once the store has taken a move. Every hint is made up for elsewhere if it is lost.

use makima_shared::domain::{TaskId, TaskStatus, Transition};
use makima_shared::queue::{Queue, QueueError};
use makima_shared::store::Moved;
use makima_shared::telemetry::names;

/// Tells whoever waits for a task that its attempt has ended. What makes others move goes first.
pub(crate) async fn ended(queue: &Queue, task: TaskId, transition: &Transition, moved: &Moved) {
    let next = match transition.to() {
        TaskStatus::Done | TaskStatus::Failed => queue.scheduler_wake(task).await,
        TaskStatus::Queued => queue.ready_push(&[moved.ready(task)]).await,
        TaskStatus::Pending
        | TaskStatus::Starting
        | TaskStatus::Running
        | TaskStatus::Paused
        | TaskStatus::Interrupted
        | TaskStatus::Merged
        | TaskStatus::Cancelled => Ok(()),
    };
    note(next);
    announce(queue, task, moved.sequence).await;
}

/// Tells followers that a task has new events.
pub(crate) async fn announce(queue: &Queue, task: TaskId, sequence: i64) {
    note(queue.events_announce(task, sequence).await);
}

fn note(outcome: Result<(), QueueError>) {
    if let Err(error) = outcome {
        metrics::counter!(names::HINTS_LOST).increment(1);
        tracing::debug!(error = &error as &dyn std::error::Error, "a hint was lost");
    }
}
