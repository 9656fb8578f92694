//! The audit: at every beat, what the store says this worker holds is compared with what it runs.
//!
//! It is the net below the messages. An attempt that the store gave to somebody else, or that was cancelled, is stopped;
//! a task that was claimed without the worker hearing of it (the reply was lost) is let go. A worker that was found to hold
//! nothing is left alone until it claims again. An attempt whose task has messages that it has not heard of is told.
//! The same beat reaps the zombies that the worker inherited.

use makima_shared::domain::{AttemptOutcome, Failure, Transition};
use makima_shared::store::{Applied, HeldAttempt, StoreError, answered};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Life;
use crate::process::reap_orphans;

/// Audits until the token is cancelled.
pub(super) async fn run(life: &Life, over: &CancellationToken) {
    loop {
        tokio::select! {
            () = over.cancelled() => return,
            () = sleep(life.context.config.worker.beat) => {} // why: the period of the audit
        }
        if let Err(error) = tokio::task::spawn_blocking(reap_orphans).await {
            warn!(%error, "the dead cannot be reaped");
        }
        tokio::select! {
            () = over.cancelled() => return,
            outcome = run_once(life) => if let Err(error) = outcome {
                debug!(error = &error as &dyn std::error::Error, "the audit failed; the next one starts afresh");
            },
        }
    }
}

async fn run_once(life: &Life) -> Result<(), StoreError> {
    let unheard = {
        let mut claims = life.claims.lock().await;
        if claims.hold_nothing() {
            life.lease.set_idle(true);
            return Ok(());
        }
        let held = answered(life.context.store.attempts_of_worker(life.id)).await?;
        claims.found(held.len());
        life.roster.compare(&held)
    };
    for held in unheard {
        let_go(life, held).await?;
    }
    Ok(())
}

/// Gives up what the store holds for this worker and nobody here carries on. It spends a retry, so that a fault which
/// brings this about again and again comes to an end.
async fn let_go(life: &Life, held: HeldAttempt) -> Result<(), StoreError> {
    let HeldAttempt { attempt, retry_count, max_retries, .. } = held;
    let message = "its worker held the task and did not carry it on";
    let failure = Failure::new(AttemptOutcome::WorkerLost, "NOT_CARRIED_ON", message);
    let policy = &life.context.config.worker.retry;
    let transition = Transition::attempt_failed(attempt.epoch, failure, retry_count, max_retries, policy);
    if let Applied::Moved(_) = life.moves.apply(attempt.task_id, transition).await? {
        warn!(task.id = %attempt.task_id, attempt.epoch = %attempt.epoch, "held without being carried on: let go");
    }
    Ok(())
}
