//! Releases the children of tasks that are done, where there are too many for the end of the task to do it itself, and
//! takes the mark off parents whose children have all been told.

use crate::Context;
use crate::report::{ReconcileError, Report};

/// How many parents one run looks at.
const PARENTS: i64 = 500;
/// How many edges one statement satisfies.
const EDGES: i64 = 2_000;

pub(crate) async fn run_once(context: &Context) -> Result<Report, ReconcileError> {
    let parents = context.store.tasks_children_waiting(PARENTS).await?;
    if parents.is_empty() {
        return Ok(Report::default());
    }
    let settled = context.store.children_release(&parents, EDGES).await?;
    context.queue.ready_push(&settled.released).await?;
    if settled.slots_wanted {
        context.signals.slots();
    }
    if i64::try_from(settled.edges).is_ok_and(|edges| edges == EDGES) {
        return Ok(Report { changed: settled.released.len(), more: true });
    }
    let closed = context.store.parents_settled(&parents).await?;
    let closed = usize::try_from(closed).unwrap_or(usize::MAX);
    // Those that failed stay marked until `fail_blocked` has told their children.
    let more = settled.edges > 0 || closed == parents.len();
    Ok(Report { changed: settled.released.len(), more })
}
