//! What a reconciler says of one run.

use makima_shared::store::StoreError;

/// How much one run of a reconciler changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// How many rows or entries it changed.
    pub(crate) changed: usize,
    /// It stopped at its limit: there may be more to do.
    pub(crate) more: bool,
}

impl Report {
    /// Reports a run that changes at most `limit` things at once.
    pub(crate) fn of(changed: usize, limit: i64) -> Self {
        Self { changed, more: usize::try_from(limit).is_ok_and(|limit| changed >= limit) }
    }
}

/// Why a run ended early. The next one starts afresh.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue failed: what was changed in the store stays, and `requeue_lost` makes up for the hint.
    #[error(transparent)]
    Queue(#[from] makima_shared::queue::QueueError),
}
