//! Tells when an agent has fallen silent after it had said something: its tree is then likely to have grown quiet as well.
//!
//! The output costs nothing to watch, where watches on every directory of a tree would; what an agent does without a word is
//! saved by the interval. A look of a checkpoint may cost, so there is a pause after each that grows with its length.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// How long a silence has to last.
const SILENCE: Duration = Duration::from_secs(3);
/// The least pause after a look, and how much longer than the look itself it is.
const LEAST_PAUSE: Duration = Duration::from_secs(5);
const PAUSE_FACTOR: u32 = 10;

pub(super) struct Quiet<'a> {
    activity: &'a Notify,
    /// The end of the silence that has begun; none before there was a word.
    due: Option<Instant>,
    not_before: Instant,
}

impl<'a> Quiet<'a> {
    /// Listens to what is notified with each word of the agent.
    pub(super) fn new(activity: &'a Notify) -> Self {
        Self { activity, due: None, not_before: Instant::now() + LEAST_PAUSE }
    }

    /// Waits for the end of a silence that follows a word. May be dropped and called again at any time.
    pub(super) async fn fallen(&mut self) {
        loop {
            let Some(due) = self.due else {
                self.activity.notified().await;
                self.due = Some(Instant::now() + SILENCE);
                continue;
            };
            tokio::select! {
                biased;
                () = self.activity.notified() => self.due = Some(Instant::now() + SILENCE),
                () = sleep_until(due.max(self.not_before)) => {
                    self.due = None;
                    return;
                }
            }
        }
    }

    /// Notes how long a look took that has just ended.
    pub(super) fn looked(&mut self, took: Duration) {
        self.not_before = Instant::now() + (took * PAUSE_FACTOR).max(LEAST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    async fn is_due_within(quiet: &mut Quiet<'_>, seconds: u64) -> bool {
        timeout(Duration::from_secs(seconds), quiet.fallen()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn one_silence_is_told_once_and_only_after_a_word() {
        let activity = Notify::new();
        let mut quiet = Quiet::new(&activity);
        assert!(!is_due_within(&mut quiet, 1000).await);
        activity.notify_one();
        assert!(!is_due_within(&mut quiet, 2).await);
        activity.notify_one();
        assert!(!is_due_within(&mut quiet, 2).await, "it has said something again");
        assert!(is_due_within(&mut quiet, 2).await);
        assert!(!is_due_within(&mut quiet, 1000).await);
    }

    #[tokio::test(start_paused = true)]
    async fn long_looks_are_far_apart() {
        let activity = Notify::new();
        let mut quiet = Quiet::new(&activity);
        advance(Duration::from_secs(10)).await;
        quiet.looked(Duration::from_secs(6));
        activity.notify_one();
        assert!(!is_due_within(&mut quiet, 59).await);
        assert!(is_due_within(&mut quiet, 2).await);
        quiet.looked(Duration::ZERO);
        activity.notify_one();
        assert!(!is_due_within(&mut quiet, 4).await);
        assert!(is_due_within(&mut quiet, 2).await);
    }
}
