//! Ends git commands before their time: the synchronous side of "the attempt is over".

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::GitError;

/// Tells everybody who has a clone that the work is no longer wanted. It is never taken back.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    cancelled: Mutex<bool>,
    changed: Condvar,
}

/// What a wait ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// The child has ended.
    Ended,
    /// The time is over.
    Overdue,
    /// The work is no longer wanted.
    Cancelled,
}

impl Cancel {
    /// Cancels: commands that run are killed with their groups, and no further one starts.
    pub fn cancel(&self) {
        *self.lock() = true;
        self.0.changed.notify_all();
    }

    /// Returns an error if the work is no longer wanted.
    pub(crate) fn check(&self) -> Result<(), GitError> {
        if *self.lock() { Err(GitError::Cancelled) } else { Ok(()) }
    }

    /// Waits for `pause`, or returns an error as soon as the work is no longer wanted.
    pub(crate) fn pause(&self, pause: Duration) -> Result<(), GitError> {
        match self.wait(pause, &AtomicBool::new(false)) {
            Waited::Cancelled => Err(GitError::Cancelled),
            Waited::Overdue | Waited::Ended => Ok(()),
        }
    }

    /// Waits until `ended` was told ([`Cancel::tell`]), for `deadline` at most.
    pub(super) fn wait(&self, deadline: Duration, ended: &AtomicBool) -> Waited {
        let until = Instant::now() + deadline;
        let mut cancelled = self.lock();
        loop {
            if ended.load(Ordering::Acquire) {
                return Waited::Ended;
            }
            if *cancelled {
                return Waited::Cancelled;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Waited::Overdue;
            }
            let waited = self.0.changed.wait_timeout(cancelled, left);
            cancelled = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until `ended` was told, wanted or not, for `patience` at most. Tells whether it was.
    pub(super) fn wait_for_end(&self, patience: Duration, ended: &AtomicBool) -> bool {
        let waiting = |_cancelled: &mut bool| !ended.load(Ordering::Acquire);
        let waited = self.0.changed.wait_timeout_while(self.lock(), patience, waiting);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Tells a waiting thread that its child has ended.
    pub(super) fn tell(&self, ended: &AtomicBool) {
        // Under the lock, so that it does not fall between a look and a wait.
        let _cancelled = self.lock();
        ended.store(true, Ordering::Release);
        self.0.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.0.cancelled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
