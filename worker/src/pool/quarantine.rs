//! A worker in quarantine asks for nothing, keeps what it runs, and leaves no task or bell lying with it.
//!
//! It learns of its quarantine at its next beat, or earlier, when the store gives it nothing of what the queue handed it.

use makima_shared::domain::TaskId;
use makima_shared::store::answered;
use tracing::{debug, info, warn};

use super::Life;

/// Waits while the worker is in quarantine.
pub(super) async fn wait(life: &Life) {
    let mut state = life.lease.quarantine.subscribe();
    let Some(quarantine) = state.borrow_and_update().clone() else { return };
    warn!(worker.id = %life.id, until = %quarantine.until, reason = quarantine.reason, "in quarantine: taking no tasks");
    if let Err(error) = life.context.queue.worker_step_aside(life.id).await {
        debug!(error = &error as &dyn std::error::Error, "a bell may be lost with this worker");
    }
    // The sender lives as long as the life.
    let _ = state.wait_for(Option::is_none).await;
    info!(worker.id = %life.id, "the quarantine is over");
}

/// Waits until the worker comes into quarantine.
pub(super) async fn begun(life: &Life) {
    let _ = life.lease.quarantine.subscribe().wait_for(Option::is_some).await;
}

/// Looks why the store gave nothing of what the queue handed out. If that was a quarantine, the tasks go back at once;
/// if not, others have them, or `requeue_lost` brings them back.
pub(super) async fn refused(life: &Life, ids: &[TaskId]) {
    let Ok(Some(quarantine)) = answered(life.context.store.worker_quarantine(life.id)).await else { return };
    life.lease.quarantine.send_replace(Some(quarantine));
    let back = match answered(life.context.store.tasks_ready(ids)).await {
        Ok(tasks) => life.context.queue.ready_push(&tasks).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = back {
        debug!(error, "tasks were not handed back to the queue");
    }
}
