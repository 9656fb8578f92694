//! Runs the reconcilers of a leader: each in a loop of its own, by signal and by period.

use std::future::Future;
use std::time::Duration;

use makima_shared::store::LeaderProof;
use makima_shared::telemetry::names;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::report::{ReconcileError, Report};
use crate::tasks::{fail_blocked, prune_patches, relax_exclusions, release, requeue_lost, rescue};
use crate::{Context, measure, wake};

/// How often expired patches are looked for.
const PRUNE_PERIOD: Duration = Duration::from_secs(3600);

/// Runs everything until the term ends. Asks for the proof of leadership, because none of it is for two at once.
pub(crate) async fn run(context: &Context, _proof: &LeaderProof, term: &CancellationToken) {
    let sweep = context.config.sweep;
    let ended = Notify::new();
    tokio::join!(
        wake::run(context, &ended, term),
        measure::run(context, term),
        periodically("release", sweep, None, term, || release::run_once(context, None)),
        periodically("fail_blocked", sweep, Some(&ended), term, || fail_blocked::run_once(context)),
        periodically("rescue", sweep / 2, None, term, || rescue::run_once(context)),
        periodically("requeue_lost", sweep * 2, None, term, || requeue_lost::run_once(context)),
        periodically("relax_exclusions", sweep * 2, None, term, || relax_exclusions::run_once(context)),
        periodically("prune_patches", PRUNE_PERIOD, None, term, || prune_patches::run_once(context)),
    );
}

/// Runs a reconciler now, then whenever it is signalled or its period is over, and at once again while it has more to do.
async fn periodically<F>(
    name: &'static str,
    period: Duration,
    signal: Option<&Notify>,
    term: &CancellationToken,
    run_once: impl Fn() -> F,
) where
    F: Future<Output = Result<Report, ReconcileError>>,
{
    loop {
        let begun = Instant::now();
        // A run may be dropped anywhere: each of its statements stands for itself.
        let outcome = tokio::select! {
            () = term.cancelled() => return,
            outcome = run_once() => outcome,
        };
        metrics::histogram!(names::RECONCILE_SECONDS, "reconciler" => name)
            .record(begun.elapsed().as_secs_f64());
        if note(name, &outcome) {
            continue;
        }
        let signalled = async {
            match signal {
                Some(signal) => signal.notified().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = term.cancelled() => return,
            () = signalled => {}
            () = sleep(period) => {} // why: the period, as the net below the signals
        }
    }
}

/// Logs and counts a run, and tells whether there is more to do.
fn note(name: &'static str, outcome: &Result<Report, ReconcileError>) -> bool {
    match outcome {
        Ok(report) => {
            metrics::counter!(names::RECONCILED, "reconciler" => name).increment(report.changed as u64);
            if report.changed > 0 {
                info!(reconciler = name, changed = report.changed, "reconciled");
            } else {
                debug!(reconciler = name, "nothing to do");
            }
            report.more
        }
        Err(error) => {
            metrics::counter!(names::RECONCILE_ERRORS, "reconciler" => name).increment(1);
            warn!(
                reconciler = name,
                error = error as &dyn std::error::Error,
                "the run failed; the next one starts afresh"
            );
            false
        }
    }
}
