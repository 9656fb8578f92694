//! The signals: workers and the API say which tasks have ended, and what waited for those is released at once.

use std::time::Duration;

use makima_shared::domain::TaskId;
use makima_shared::queue::WakeCalls;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::Context;
use crate::tasks::release;

/// How long one wait for calls lasts.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long Redis is left alone after it failed; the sweeps go on meanwhile.
const RECONNECT_DELAY: Duration = Duration::from_millis(500);

/// Serves calls until the term ends. `ended` is signalled after each.
pub(crate) async fn run(context: &Context, ended: &Notify, term: &CancellationToken) {
    let mut calls = context.queue.wake_calls();
    loop {
        tokio::select! {
            () = term.cancelled() => return,
            served = serve(context, &mut calls, ended) => {
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

async fn serve(context: &Context, calls: &mut WakeCalls, ended: &Notify) -> bool {
    match calls.next(PATIENCE).await {
        Ok(tasks) if tasks.is_empty() => true,
        Ok(tasks) => {
            release_children(context, &tasks).await;
            ended.notify_one();
            true
        }
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "cannot hear calls; the sweep goes on");
            false
        }
    }
}

async fn release_children(context: &Context, parents: &[TaskId]) {
    loop {
        match release::run_once(context, Some(parents)).await {
            Ok(report) if report.more => {}
            Ok(_report) => return,
            Err(error) => {
                return warn!(
                    error = &error as &dyn std::error::Error,
                    "the release failed; the sweep makes up for it"
                );
            }
        }
    }
}
