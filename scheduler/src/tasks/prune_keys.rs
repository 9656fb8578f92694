//! Deletes old idempotency keys.

use crate::Context;
use crate::report::{ReconcileError, Report};

const LIMIT: i64 = 1_000;

pub(crate) async fn run_once(context: &Context) -> Result<Report, ReconcileError> {
    let keep = context.config.retention.idempotency_keys;
    let pruned = context.store.idempotency_keys_prune(keep, LIMIT).await?;
    Ok(Report::of(usize::try_from(pruned).unwrap_or(usize::MAX), LIMIT))
}
