//! What a worker tells others once the store has taken a move. Every hint is made up for elsewhere if it is lost.

use makima_shared::domain::TaskId;
use makima_shared::queue::{Queue, QueueError, WakeCall};
use makima_shared::store::{Applied, AppliedAll, Move, ReadyTask};
use makima_shared::telemetry::names;

/// Tells whoever waits that tasks have moved. What makes others move goes first.
pub(crate) async fn moved(queue: &Queue, moves: &[Move], all: &AppliedAll) {
    let mut ready: Vec<ReadyTask> = all.released.clone();
    let mut news = Vec::with_capacity(moves.len());
    let mut wakes_scheduler = false;
    for (one, applied) in moves.iter().zip(&all.applied) {
        if let Applied::Moved(moved) = applied {
            ready.extend(moved.ready.clone());
            wakes_scheduler |= moved.wakes_scheduler;
            news.push((one.task, moved.sequence));
        }
    }
    if !ready.is_empty() {
        note(queue.ready_push(&ready).await);
    }
    if wakes_scheduler {
        note(queue.scheduler_wake(WakeCall::Settle).await);
    }
    if wakes_scheduler || all.slots_wanted {
        note(queue.scheduler_wake(WakeCall::Slots).await);
    }
    note(queue.events_announce_all(&news).await);
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
