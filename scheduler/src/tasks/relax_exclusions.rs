//! Lifts exclusions that leave a task without a worker, one at a time, after a grace period.

use crate::Context;
use crate::report::{ReconcileError, Report};

const LIMIT: i64 = 200;

pub(crate) async fn run_once(context: &Context) -> Result<Report, ReconcileError> {
    let grace_ms = i64::try_from(context.config.exclusion_grace.as_millis()).unwrap_or(i64::MAX);
    let relaxed = context.store.tasks_relax_exclusions(grace_ms, LIMIT).await?;
    context.queue.ready_push(&relaxed).await?;
    Ok(Report::of(relaxed.len(), LIMIT))
}
