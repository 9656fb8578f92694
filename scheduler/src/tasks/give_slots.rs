//! Enforces limits on running tasks: gives free slots of limited owners to those of their tasks that wait for one.

use makima_shared::domain::OwnerId;

use crate::Context;
use crate::report::{ReconcileError, Report};

/// How many owners one statement lists.
const PAGE: i64 = 100;

pub(crate) async fn run_once(context: &Context) -> Result<Report, ReconcileError> {
    let mut changed = 0;
    let mut after: Option<OwnerId> = None;
    loop {
        let owners = context.store.owners_with_slots_wanted(after, PAGE).await?;
        let Some(last) = owners.last().copied() else { return Ok(Report { changed, more: false }) };
        for owner in owners {
            let released = context.store.slots_give(owner).await?;
            context.queue.ready_push(&released).await?;
            changed += released.len();
        }
        after = Some(last);
    }
}
