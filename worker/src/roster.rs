//! The attempts that a worker runs, and how to tell one that it is over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use makima_shared::store::{HeldAttempt, OpenAttempt};
use tokio_util::sync::CancellationToken;

/// All attempts of one life of a worker.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    open: Mutex<HashMap<OpenAttempt, CancellationToken>>,
}

/// An attempt's entry. Dropping it takes the attempt out.
#[derive(Debug)]
pub(crate) struct Entry {
    attempt: OpenAttempt,
    roster: Arc<Roster>,
    /// Cancelled when the attempt is over by somebody else's word.
    pub(crate) over: CancellationToken,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.roster.lock().remove(&self.attempt);
    }
}

impl Roster {
    /// Enters an attempt.
    pub(crate) fn enter(self: &Arc<Self>, attempt: OpenAttempt) -> Entry {
        let over = CancellationToken::new();
        self.lock().insert(attempt, over.clone());
        Entry { attempt, roster: Arc::clone(self), over }
    }

    /// Tells an attempt that it is over. Nothing happens if it has left already.
    pub(crate) fn end(&self, attempt: OpenAttempt) {
        if let Some(over) = self.lock().get(&attempt) {
            over.cancel();
        }
    }

    /// Ends every attempt that the store does not hold for this worker, and returns those that it holds and nobody runs.
    pub(crate) fn compare(&self, held: &[HeldAttempt]) -> Vec<HeldAttempt> {
        let open = self.lock();
        for (attempt, over) in open.iter() {
            if held.iter().all(|other| other.attempt != *attempt) {
                over.cancel();
            }
        }
        held.iter().copied().filter(|held| !open.contains_key(&held.attempt)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<OpenAttempt, CancellationToken>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
