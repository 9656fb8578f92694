//! Deletes workers that ended a while ago and never had a task, such as those of a process that starts and falls in a
//! circle.

use std::time::Duration;

use crate::Context;
use crate::report::{ReconcileError, Report};

const LIMIT: i64 = 1_000;
/// How long a worker that has ended is shown.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

pub(crate) async fn run_once(context: &Context) -> Result<Report, ReconcileError> {
    let pruned = context.store.workers_prune(KEEP, LIMIT).await?;
    Ok(Report::of(usize::try_from(pruned).unwrap_or(usize::MAX), LIMIT))
}
