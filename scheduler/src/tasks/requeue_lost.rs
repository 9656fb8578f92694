//! Tells Redis again of queued tasks that it does not know: a hint was lost, or all of Redis.

use makima_shared::domain::TaskId;

use crate::Context;
use crate::report::{ReconcileError, Report};

const PAGE: i64 = 1000;
/// Hints on their way are left alone for this long.
const MIN_AGE_MS: i64 = 1000;

pub(crate) async fn run_once(context: &Context) -> Result<Report, ReconcileError> {
    let mut changed = 0;
    let mut after: Option<TaskId> = None;
    loop {
        let page = context.store.tasks_queued(after, MIN_AGE_MS, PAGE).await?;
        after = page.last().map(|task| task.id);
        let last = i64::try_from(page.len()).is_ok_and(|count| count < PAGE);
        let missing = context.queue.ready_missing(page).await?;
        context.queue.ready_push(&missing).await?;
        changed += missing.len();
        if last {
            return Ok(Report { changed, more: false });
        }
    }
}
