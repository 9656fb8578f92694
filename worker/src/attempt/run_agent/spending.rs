//! What an attempt spends: noted while it runs, so that a worker that dies takes little of it along, and held against what
//! the task may spend.

use std::time::Duration;

use makima_shared::domain::{Caps, Spend};
use makima_shared::store::Fenced;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::super::prepare::accepted;
use super::super::{Attempt, End};

/// How often it is noted at most.
const NOTE_PERIOD: Duration = Duration::from_secs(5);

/// What a task may spend and what its attempts before this one have spent.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::attempt) struct Budget {
    caps: Caps,
    before: Spend,
}

impl Budget {
    /// Reads it, for a task that has any.
    pub(in crate::attempt) async fn of(attempt: &Attempt<'_>) -> Result<Self, End> {
        let (caps, store) = (attempt.task.caps, &attempt.context().store);
        if caps == Caps::default() {
            return Ok(Self::default());
        }
        let asking =
            attempt.insist(|| async { Ok(Fenced::Accepted(store.attempts_spent(attempt.task.id).await?)) });
        Ok(Self { caps, before: accepted(asking.await)? })
    }

    /// Returns what there is of it behind what the attempt has spent so far.
    pub(super) fn behind(&self, so_far: &Spend) -> Self {
        Self { caps: self.caps, before: self.before.plus(so_far) }
    }

    /// Says in words that it is spent, if it is.
    pub(super) fn reached(&self, spent: &Spend) -> Option<String> {
        self.caps.reached(&self.before.plus(spent))
    }

    /// Returns what is left, in US dollars; none if there is no limit.
    pub(super) fn left_usd(&self) -> Option<f64> {
        self.caps.max_cost_usd.map(|cap| cap - self.before.cost_usd.unwrap_or_default())
    }

    /// Waits until it is spent.
    pub(super) async fn spent(&self, mut spent: watch::Receiver<Spend>) {
        if spent.wait_for(|spent| self.reached(spent).is_some()).await.is_err() {
            // Nothing more will be told.
            std::future::pending().await
        }
    }
}

/// Notes what is spent, with what the attempt had spent before, until the agent has ended.
pub(super) async fn keep_account(
    attempt: &Attempt<'_>,
    before: &Spend,
    mut spent: watch::Receiver<Spend>,
    ended: &CancellationToken,
) {
    let account = async {
        while spent.changed().await.is_ok() {
            let so_far = before.plus(&spent.borrow_and_update());
            note(attempt, &so_far).await;
            sleep(NOTE_PERIOD).await; // why: not more often than that
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = ended.cancelled() => {}
        () = account => {}
    }
}

/// Notes what the attempt has spent.
pub(super) async fn note(attempt: &Attempt<'_>, spent: &Spend) {
    if spent.is_nothing() {
        return;
    }
    let store = &attempt.context().store;
    if let Err(error) = attempt.insist(|| store.attempt_spent(attempt.key(), spent)).await {
        warn!(error = &error as &dyn std::error::Error, "what the attempt has spent is not noted");
    }
}
