//! Keeps the worker's sign of life in Redis, by which its death is noticed long before its lease ends.
//!
//! Where the subscription breaks while the worker lives, the lease is renewed at once: a scheduler that has seen the
//! break so learns that it meant nothing. Without Redis the worker goes on, held by its lease alone.

use std::time::Duration;

use makima_shared::queue::Presence;
use makima_shared::store::answered;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::lease::longest_beat;
use crate::pool::Life;

/// How long Redis is left alone after it failed, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Opens and mends the subscription until the token is cancelled.
pub(crate) async fn keep(life: &Life, over: &CancellationToken) {
    over.run_until_cancelled(async {
        let mut is_announced = false;
        loop {
            let presence = open(life).await;
            // A scheduler that saw no connection has passed the worker's bells on.
            life.bell.notify_one();
            is_announced = is_announced || announce(life).await;
            presence.broken().await;
            debug!(worker.id = %life.id, "the worker's sign of life broke off");
            life.lease.beat_now();
            sleep(FIRST_PAUSE).await; // why: a Redis that takes connections and drops them shall not make beats a storm
        }
    })
    .await;
}

async fn open(life: &Life) -> Presence {
    let mut pause = FIRST_PAUSE;
    loop {
        match life.context.queue.presence_open(life.id).await {
            Ok(presence) => return presence,
            Err(error) => debug!(error = &error as &dyn std::error::Error, "no sign of life"),
        }
        sleep(pause).await; // why: back-off before the next connection
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Tells the store that the sign of life stands. If that fails the next one is announced, and the lease has to do till then.
async fn announce(life: &Life) -> bool {
    let told =
        answered(life.context.store.worker_announce(life.id, longest_beat(&life.context.config))).await;
    if let Err(error) = &told {
        debug!(error = error as &dyn std::error::Error, "the sign of life is not announced");
    }
    told.is_ok()
}
