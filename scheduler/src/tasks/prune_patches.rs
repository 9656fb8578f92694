//! Deletes expired patches and conversations, a few at a time so that no statement holds many rows.

use crate::Context;
use crate::report::{ReconcileError, Report};

const LIMIT: i64 = 100;

pub(crate) async fn run_once(context: &Context) -> Result<Report, ReconcileError> {
    let conversations = context.store.conversations_prune(LIMIT).await?;
    let pruned = context.store.checkpoint_patches_prune(LIMIT).await?.max(conversations);
    Ok(Report::of(usize::try_from(pruned).unwrap_or(usize::MAX), LIMIT))
}
