//! Fails tasks that wait for one which can no longer be done. Theirs follow in the next run, so a whole graph falls.

use makima_shared::domain::Transition;
use makima_shared::store::{Applied, Move};

use crate::Context;
use crate::report::{ReconcileError, Report};

/// How many parents one run looks at.
const PARENTS: i64 = 500;
/// How many children one statement fails.
const LIMIT: i64 = 500;

pub(crate) async fn run_once(context: &Context) -> Result<Report, ReconcileError> {
    let parents = context.store.tasks_children_waiting(PARENTS).await?;
    if parents.is_empty() {
        return Ok(Report::default());
    }
    let blocked = context.store.children_blocked(&parents, LIMIT).await?;
    let moves: Vec<_> = blocked
        .into_iter()
        .map(|(task, message)| Move { task, transition: Transition::dependency_failed(message) })
        .collect();
    let mut changed = 0;
    for (moved, applied) in moves.iter().zip(context.store.tasks_transition(&moves).await?.applied) {
        if let Applied::Moved(done) = applied {
            changed += 1;
            // A hint: who follows the task looks by itself now and then.
            let _ = context.queue.events_announce(moved.task, done.sequence).await;
        }
    }
    context.store.parents_settled(&parents).await?;
    Ok(Report { changed, more: changed > 0 })
}
