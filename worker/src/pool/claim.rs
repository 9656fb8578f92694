//! Claims: as many tasks at once as there are free slots.

use std::sync::Arc;
use std::time::Instant;

use makima_shared::domain::{ClaimedTask, TaskId};
use makima_shared::store::{OpenAttempt, answered};
use makima_shared::telemetry::record;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::claims::Claims;
use super::{Life, RETRY_DELAY, confine, quarantine, room};
use crate::attempt;

/// Claims until the token is cancelled. A claim that is under way is brought to its end first.
pub(super) async fn run(life: &Arc<Life>, shutdown: &CancellationToken) {
    // As they are registered: the clients that were found stand in none of the settings.
    let labels = life.context.clients.labels(&life.context.config.worker.labels);
    loop {
        let permits = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            permits = free_slots(life) => permits,
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = quarantine::wait(life) => {}
        };
        if !confine::is_ready(life).await || !room::is_enough(life).await {
            continue;
        }
        let mut claims = life.claims.lock().await;
        let asked = Instant::now();
        let ids = match life.context.queue.ready_claim(life.id, &labels, permits.len()).await {
            Ok(ids) => ids,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "cannot ask for tasks");
                drop((claims, permits));
                sleep(RETRY_DELAY).await; // why: back-off before the next try
                continue;
            }
        };
        if ids.is_empty() {
            drop((claims, permits));
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = life.bell.notified() => {}
                () = quarantine::begun(life) => {}
            }
            continue;
        }
        let claimed = claim(life, &ids, &mut claims).await;
        if claimed.is_empty() {
            quarantine::refused(life, &ids).await;
        }
        record::claimed(asked, claimed.len());
        life.tally.claimed(claimed.len());
        for (task, permit) in claimed.into_iter().zip(permits) {
            begin(life, task, permit);
        }
    }
}

/// Waits for a free slot, and takes all that are free.
async fn free_slots(life: &Life) -> Vec<OwnedSemaphorePermit> {
    let mut permits = Vec::new();
    permits.extend(Arc::clone(&life.slots).acquire_owned().await);
    while let Ok(permit) = Arc::clone(&life.slots).try_acquire_owned() {
        permits.push(permit);
    }
    permits
}

/// Claims in the store. If that fails, `requeue_lost` brings the hints back, and the audit whatever was claimed all the
/// same.
async fn claim(life: &Life, ids: &[TaskId], claims: &mut Claims) -> Vec<ClaimedTask> {
    claims.begun();
    life.lease.set_idle(false);
    match answered(life.context.store.tasks_claim(life.id, ids)).await {
        Ok(claimed) => claimed,
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "the claim failed");
            claims.unheard();
            Vec::new()
        }
    }
}

fn begin(life: &Arc<Life>, task: ClaimedTask, permit: OwnedSemaphorePermit) {
    info!(task.id = %task.id, attempt.epoch = %task.epoch, "claimed");
    let entry = life.roster.enter(OpenAttempt { task_id: task.id, epoch: task.epoch });
    let for_attempt = Arc::clone(life);
    life.attempts.spawn(async move {
        attempt::run(&for_attempt, &task, &entry).await;
        drop((entry, permit));
    });
}
