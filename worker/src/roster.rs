//! The attempts that a worker runs, and how to tell one that it is over, or that there is a message to its agent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use makima_shared::store::{HeldAttempt, OpenAttempt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// All attempts of one life of a worker.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    open: Mutex<HashMap<OpenAttempt, Told>>,
}

/// What an attempt may be told.
#[derive(Debug)]
struct Told {
    over: CancellationToken,
    newest_message: watch::Sender<i32>,
}

impl Told {
    fn message(&self, number: i32) {
        self.newest_message.send_if_modified(|newest| {
            let is_newer = number > *newest;
            *newest = number.max(*newest);
            is_newer
        });
    }
}

/// An attempt's entry. Dropping it takes the attempt out.
#[derive(Debug)]
pub(crate) struct Entry {
    attempt: OpenAttempt,
    roster: Arc<Roster>,
    /// Cancelled when the attempt is over by somebody else's word.
    pub(crate) over: CancellationToken,
    /// The number of the newest message to its agent that the worker has heard of.
    pub(crate) newest_message: watch::Receiver<i32>,
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
        let (newest_message, heard) = watch::channel(0);
        self.lock().insert(attempt, Told { over: over.clone(), newest_message });
        Entry { attempt, roster: Arc::clone(self), over, newest_message: heard }
    }

    /// Tells an attempt that it is over. Nothing happens if it has left already.
    pub(crate) fn end(&self, attempt: OpenAttempt) {
        if let Some(told) = self.lock().get(&attempt) {
            told.over.cancel();
        }
    }

    /// Tells an attempt that there is a message of this number. Nothing happens if it has left already.
    pub(crate) fn message(&self, attempt: OpenAttempt, number: i32) {
        if let Some(told) = self.lock().get(&attempt) {
            told.message(number);
        }
    }

    /// Ends every attempt that the store does not hold for this worker, tells the others of messages that they have not
    /// heard of, and returns those that the store holds and nobody runs.
    pub(crate) fn compare(&self, held: &[HeldAttempt]) -> Vec<HeldAttempt> {
        let open = self.lock();
        for (attempt, told) in open.iter() {
            match held.iter().find(|other| other.attempt == *attempt) {
                Some(held) => told.message(held.last_message),
                None => told.over.cancel(),
            }
        }
        held.iter().copied().filter(|held| !open.contains_key(&held.attempt)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<OpenAttempt, Told>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use makima_shared::domain::{Epoch, TaskId};

    use super::*;

    #[test]
    fn a_lost_hint_of_a_message_is_made_up_for_and_an_old_one_is_no_news() {
        let roster = Arc::new(Roster::default());
        let attempt = OpenAttempt { task_id: TaskId::new(), epoch: Epoch::from(1) };
        let mut entry = roster.enter(attempt);
        let held = HeldAttempt { attempt, retry_count: 0, max_retries: 0, last_message: 2 };
        assert!(roster.compare(&[held]).is_empty());
        assert!(entry.newest_message.has_changed().unwrap());
        assert_eq!(*entry.newest_message.borrow_and_update(), 2);
        roster.message(attempt, 1);
        roster.compare(&[held]);
        assert!(!entry.newest_message.has_changed().unwrap());
        roster.message(attempt, 3);
        assert_eq!(*entry.newest_message.borrow_and_update(), 3);
    }
}
