//! Deletes the events of tasks that are gone and had too many of them to take along.

use crate::Context;
use crate::report::{ReconcileError, Report};

const LIMIT: i64 = 2_000;

pub(crate) async fn run_once(context: &Context) -> Result<Report, ReconcileError> {
    let pruned = context.store.deleted_events_prune(LIMIT).await?;
    let changed = pruned.map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX));
    Ok(Report { changed, more: pruned.is_some() })
}
