//! Takes tasks from workers that are gone: each rests, then any other worker goes on from its last checkpoint.

use makima_shared::domain::{AttemptOutcome, Failure, Transition};
use makima_shared::store::{Applied, LostAttempt, StoreError};
use makima_shared::telemetry::names;
use tracing::{error, warn};

use crate::Context;
use crate::report::{ReconcileError, Report};

const LIMIT: i64 = 200;

pub(crate) async fn run_once(context: &Context) -> Result<Report, ReconcileError> {
    for worker in context.store.workers_end_expired().await? {
        warn!(worker.id = %worker, "the worker's lease ran out");
        metrics::counter!(names::LEASE_EXPIRIES, "cause" => "lease").increment(1);
        // A hint like any other: an entry left behind costs one bell that nobody hears.
        let _ = context.queue.worker_forget(worker).await;
    }
    let lost = context.store.attempts_lost(LIMIT).await?;
    let mut changed = 0;
    for attempt in &lost {
        match rescue(context, attempt).await {
            Ok(()) => changed += 1,
            // One row that cannot be moved must not keep the others.
            Err(error @ StoreError::Database(_)) => {
                error!(task.id = %attempt.task_id, error = &error as &dyn std::error::Error, "not rescued");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Report::of(changed, LIMIT))
}

async fn rescue(context: &Context, attempt: &LostAttempt) -> Result<(), StoreError> {
    let message = if attempt.lease_ran_out {
        format!("the lease of worker {} ran out", attempt.worker_name)
    } else {
        format!("worker {} ended, or its connection broke and its beats stopped", attempt.worker_name)
    };
    let failure = Failure {
        exclude: Some(attempt.worker_id),
        ..Failure::new(AttemptOutcome::WorkerLost, "WORKER_LOST", message)
    };
    let transition = Transition::attempt_failed(
        attempt.epoch,
        failure,
        attempt.retry_count,
        attempt.max_retries,
        &context.config.retry,
    );
    if let Applied::Moved(moved) = context.store.task_transition(attempt.task_id, &transition).await? {
        warn!(task.id = %attempt.task_id, attempt.epoch = %attempt.epoch, status = %transition.to(), "rescued");
        let _ = context.queue.events_announce(attempt.task_id, moved.sequence).await;
        if moved.wakes_scheduler {
            context.signals.children_waiting();
            context.signals.slots();
        }
    }
    Ok(())
}
