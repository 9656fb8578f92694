//! The signals: workers and the API say that there is something to look at.

use std::time::Duration;

use makima_shared::queue::{WakeCall, WakeCalls};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::Context;

/// How long one wait for calls lasts.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long Redis is left alone after it failed; the sweeps go on meanwhile.
const RECONNECT_DELAY: Duration = Duration::from_millis(500);

/// Serves calls until the term ends.
pub(crate) async fn run(context: &Context, term: &CancellationToken) {
    let mut calls = context.queue.wake_calls();
    loop {
        tokio::select! {
            () = term.cancelled() => return,
            served = serve(context, &mut calls) => {
                if !served {
                    tokio::select! {
                        () = term.cancelled() => return,
                        () = sleep(RECONNECT_DELAY) => {} // why: back-off before the next connection
                    }
                }
            }
        }
    }
}

async fn serve(context: &Context, calls: &mut WakeCalls) -> bool {
    match calls.next(PATIENCE).await {
        Ok(calls) => {
            if calls.contains(&WakeCall::Settle) {
                context.signals.children_waiting();
            }
            if calls.contains(&WakeCall::Slots) {
                context.signals.slots();
            }
            true
        }
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "cannot hear calls; the sweep goes on");
            false
        }
    }
}
