//! Counts and marks what a version before this one wrote without doing so: see `store/tasks/settle.rs`.

use crate::Context;
use crate::report::{ReconcileError, Report};

const LIMIT: i64 = 500;

pub(crate) async fn run_once(context: &Context) -> Result<Report, ReconcileError> {
    let changed = context.store.dependencies_recount(LIMIT).await?;
    if changed > 0 {
        context.signals.children_waiting();
    }
    Ok(Report::of(usize::try_from(changed).unwrap_or(usize::MAX), LIMIT))
}
