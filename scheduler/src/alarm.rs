//! An alarm clock: wakes a reconciler when something that it knows of falls due before its next period.

use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Rings once at the time that was set last.
#[derive(Debug)]
pub(crate) struct Alarm {
    at: watch::Sender<Option<Instant>>,
    bell: Notify,
}

impl Alarm {
    pub(crate) fn new() -> Self {
        Self { at: watch::Sender::new(None), bell: Notify::new() }
    }

    /// Sets the time to ring, in place of the one before.
    pub(crate) fn set(&self, wait: Duration) {
        self.at.send_replace(Some(Instant::now() + wait));
    }

    /// Returns what rings.
    pub(crate) fn bell(&self) -> &Notify {
        &self.bell
    }

    /// Rings until the term ends.
    pub(crate) async fn run(&self, term: &CancellationToken) {
        let mut settings = self.at.subscribe();
        loop {
            let at = *settings.borrow_and_update();
            let time_comes = async {
                match at {
                    Some(at) => sleep_until(at).await, // why: the time that was set
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = term.cancelled() => return,
                // Setting it anew cannot fail: the alarm itself holds the other end.
                _set = settings.changed() => {}
                () = time_comes => {
                    self.at.send_if_modified(|set| *set == at && set.take().is_some());
                    self.bell.notify_one();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_alarm_rings_once_at_the_time_set_last() {
        let (alarm, term) = (Alarm::new(), CancellationToken::new());
        let listen = async {
            alarm.set(Duration::from_secs(3600));
            tokio::task::yield_now().await;
            alarm.set(Duration::ZERO);
            alarm.bell().notified().await;
            term.cancel();
        };
        tokio::join!(listen, alarm.run(&term));
        assert_eq!(*alarm.at.borrow(), None);
    }
}
