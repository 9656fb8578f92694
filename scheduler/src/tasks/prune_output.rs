//! Deletes the output of tasks that ended long ago.

use crate::Context;
use crate::report::{ReconcileError, Report};

/// How many tasks one statement looks at.
const TASKS: i64 = 200;
/// How many lines it deletes.
const LINES: i64 = 2_000;

pub(crate) async fn run_once(context: &Context) -> Result<Report, ReconcileError> {
    let pruned = context.store.output_prune(context.config.retention.output, TASKS, LINES).await?;
    let changed = usize::try_from(pruned.lines).unwrap_or(usize::MAX);
    Ok(Report { changed, more: pruned.lines >= LINES || pruned.tasks >= TASKS })
}
