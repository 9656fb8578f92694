//! What a worker has done in this life, told to the store at every beat in which it changed: people who look on see rates
//! by it, and an idle worker costs nothing.

use std::sync::atomic::{AtomicI64, Ordering};

use makima_shared::store::answered;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Life;

/// Counts from the start of a life.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    claimed: AtomicI64,
    done: AtomicI64,
}

impl Tally {
    /// So many tasks were claimed.
    pub(crate) fn claimed(&self, count: usize) {
        self.claimed.fetch_add(i64::try_from(count).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// A task was brought to a good end.
    pub(crate) fn done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    fn counts(&self) -> (i64, i64) {
        (self.claimed.load(Ordering::Relaxed), self.done.load(Ordering::Relaxed))
    }
}

/// Tells the store until the token is cancelled.
pub(super) async fn run(life: &Life, over: &CancellationToken) {
    let mut told = (0, 0);
    loop {
        tokio::select! {
            () = over.cancelled() => return,
            () = sleep(life.context.config.worker.beat) => {} // why: the beat
        }
        let counts = life.tally.counts();
        if counts == told {
            continue;
        }
        let telling = answered(life.context.store.worker_count(life.id, counts.0, counts.1));
        tokio::select! {
            () = over.cancelled() => return,
            outcome = telling => match outcome {
                Ok(()) => told = counts,
                Err(error) => debug!(error = &error as &dyn std::error::Error, "not told; the next beat tries again"),
            },
        }
    }
}
