//! Releases the children of tasks that are done, where there are too many for the end of the task to do it itself, and
//! takes the mark off parents whose children have all been told.
//!
//! Two lanes do it at once, each of which takes the edges that the other has not: while the queue hears of what one has
//! released, PostgreSQL is at work on the next for the other.

use makima_shared::domain::TaskId;

use crate::Context;
use crate::report::{ReconcileError, Report};

/// How many parents one run looks at.
const PARENTS: i64 = 500;
/// How many edges one statement satisfies.
const EDGES: i64 = 2_000;
/// How many statements a lane makes before the parents are looked at again.
const STATEMENTS: usize = 16;

pub(crate) async fn run_once(context: &Context) -> Result<Report, ReconcileError> {
    let parents = context.store.tasks_children_waiting(PARENTS).await?;
    if parents.is_empty() {
        return Ok(Report::default());
    }
    let (one, other) = tokio::join!(release(context, &parents), release(context, &parents));
    let (one, other) = (one?, other?);
    let changed = one.children + other.children;
    if one.stopped_short || other.stopped_short {
        return Ok(Report { changed, more: true });
    }
    let closed = context.store.parents_settled(&parents).await?;
    let closed = usize::try_from(closed).unwrap_or(usize::MAX);
    // Those that failed stay marked until `fail_blocked` has told their children.
    let more = one.edges + other.edges > 0 || closed == parents.len();
    Ok(Report { changed, more })
}

/// What a lane has done.
#[derive(Default)]
struct Lane {
    edges: usize,
    children: usize,
    /// There was more to do than it may do in one run.
    stopped_short: bool,
}

/// Releases until a statement finds less than it may take.
async fn release(context: &Context, parents: &[TaskId]) -> Result<Lane, ReconcileError> {
    let mut lane = Lane { stopped_short: true, ..Lane::default() };
    for _ in 0..STATEMENTS {
        let settled = context.store.children_release(parents, EDGES).await?;
        context.queue.ready_push(&settled.released).await?;
        if settled.slots_wanted {
            context.signals.slots();
        }
        lane.edges += settled.edges;
        lane.children += settled.released.len();
        if i64::try_from(settled.edges).is_ok_and(|edges| edges < EDGES) {
            lane.stopped_short = false;
            break;
        }
    }
    Ok(lane)
}
