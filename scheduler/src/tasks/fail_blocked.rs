//! Fails tasks that wait for one which can no longer be done. Theirs follow in the next run, so a whole graph falls.

use makima_shared::domain::Transition;
use makima_shared::store::Applied;

use crate::Context;
use crate::report::{ReconcileError, Report};

const LIMIT: i64 = 200;

pub(crate) async fn run_once(context: &Context) -> Result<Report, ReconcileError> {
    let mut changed = 0;
    for (task, message) in context.store.tasks_blocked(LIMIT).await? {
        if let Applied::Moved(moved) =
            context.store.task_transition(task, &Transition::dependency_failed(message)).await?
        {
            changed += 1;
            // A hint: who follows the task looks by itself now and then.
            let _ = context.queue.events_announce(task, moved.sequence).await;
        }
    }
    Ok(Report { changed, more: changed > 0 })
}
