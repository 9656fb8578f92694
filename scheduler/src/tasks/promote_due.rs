//! Releases tasks whose time has come: a `runAt`, or the end of a back-off.

use crate::Context;
use crate::report::{ReconcileError, Report};

const LIMIT: i64 = 500;

pub(crate) async fn run_once(context: &Context) -> Result<Report, ReconcileError> {
    let promoted = context.store.tasks_promote_due(LIMIT).await?;
    context.queue.ready_push(&promoted.released).await?;
    if promoted.released.len() < promoted.count {
        context.signals.slots();
    }
    Ok(Report::of(promoted.count, LIMIT))
}
