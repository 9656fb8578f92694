//! Releases tasks whose dependencies are done and whose time has come.

use makima_shared::domain::TaskId;

use crate::Context;
use crate::report::{ReconcileError, Report};

const LIMIT: i64 = 500;

/// Looks at the tasks that depend on one of `parents`, or at all pending ones.
pub(crate) async fn run_once(
    context: &Context,
    parents: Option<&[TaskId]>,
) -> Result<Report, ReconcileError> {
    let released = context.store.tasks_release(parents, LIMIT).await?;
    context.queue.ready_push(&released).await?;
    Ok(Report::of(released.len(), LIMIT))
}
