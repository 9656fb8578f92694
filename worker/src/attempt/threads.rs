//! The blocking work of an attempt's step: it ends with the step.
//!
//! Invariant: a step that goes through [`Threads::guard`] returns only after all of its blocking work is gone, results
//! dropped. So an attempt that is over holds its slot for as long as a process of its still runs, and a task that is
//! submitted and stopped over and over never has more of them than the worker has slots.

use makima_shared::domain::AttemptOutcome;
use tokio_util::task::TaskTracker;

use super::End;
use crate::git::Cancel;

/// Starts blocking work and waits for it.
#[derive(Default)]
pub(crate) struct Threads {
    cancel: Cancel,
    tracker: TaskTracker,
}

impl Threads {
    /// Returns what ends the git commands of this work.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Runs what blocks; a panic in it fails the attempt, not the worker.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, End> {
        let token = self.tracker.token();
        // If nobody waits for it any more, the result is dropped before the token.
        let done = tokio::task::spawn_blocking(move || {
            let token = token;
            (work(), token)
        });
        done.await.map(|(result, _token)| result).map_err(|panicked| {
            End::failed(AttemptOutcome::PreparationFailed, "WORKER_BUG", panicked.to_string())
        })
    }

    /// Carries `steps` out unless `interrupted` comes first: then their blocking work is cancelled.
    pub(crate) async fn guard<T>(
        &self,
        steps: impl Future<Output = Result<T, End>>,
        interrupted: impl Future<Output = End>,
    ) -> Result<T, End> {
        let end = {
            tokio::pin!(steps);
            tokio::select! {
                biased;
                end = interrupted => end,
                done = &mut steps => return done,
            }
        };
        self.cancel.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        Err(end)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    struct Noted(Arc<AtomicBool>);

    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn interrupted_steps_return_only_after_their_work_is_gone() {
        let threads = Threads::default();
        let dropped = Arc::new(AtomicBool::new(false));
        let (noted, cancel) = (Noted(Arc::clone(&dropped)), threads.cancel().clone());
        let (started, began) = tokio::sync::oneshot::channel();
        let steps = async {
            let work = threads.run(move || {
                let _ = started.send(());
                while cancel.check().is_ok() {
                    std::thread::yield_now();
                }
                noted
            });
            work.await
        };
        let interrupted = async {
            began.await.unwrap();
            End::HandedBack
        };
        let end = threads.guard(steps, interrupted).await.map(drop).unwrap_err();
        assert!(matches!(end, End::HandedBack) && dropped.load(Ordering::SeqCst));
    }
}
