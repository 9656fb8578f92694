//! Runs the reconcilers of a leader: each in a loop of its own, by signal and by period.

use std::future::Future;
use std::time::Duration;

use makima_shared::store::LeaderProof;
use makima_shared::telemetry::names;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::alarm::Alarm;
use crate::report::{ReconcileError, Report};
use crate::tasks::{
    end_silent, fail_blocked, give_slots, promote_due, prune_deleted, prune_keys, prune_output,
    prune_patches, prune_schedule_runs, prune_workers, quarantine, recount, relax_exclusions, release,
    requeue_lost, requeue_wiped, rescue, run_schedules,
};
use crate::{Context, measure, wake};

/// How often all queued tasks are looked for in Redis, not only the newest.
const REQUEUE_ALL_PERIOD: Duration = Duration::from_secs(15);
/// How often what a version before this one wrote is looked for.
const RECOUNT_PERIOD: Duration = Duration::from_secs(15);
/// How often expired patches and the ends of histories are looked for.
const PRUNE_PERIOD: Duration = Duration::from_secs(3600);
/// How often events are looked for whose task somebody has deleted.
const DELETED_PERIOD: Duration = Duration::from_secs(60);

/// Runs everything until the term ends. Asks for the proof of leadership, because none of it is for two at once.
pub(crate) async fn run(context: &Context, _proof: &LeaderProof, term: &CancellationToken) {
    let sweep = context.config.sweep;
    let signals = &context.signals;
    let due = Alarm::new();
    let broken = end_silent::Broken::default();
    tokio::join!(
        wake::run(context, term),
        measure::run(context, term),
        periodically("release", sweep, Some(&signals.release), term, || release::run_once(context)),
        periodically("fail_blocked", sweep, Some(&signals.fail_blocked), term, || fail_blocked::run_once(
            context
        )),
        periodically("give_slots", sweep, Some(&signals.give_slots), term, || give_slots::run_once(context)),
        periodically("promote_due", sweep / 4, None, term, || promote_due::run_once(context)),
        periodically("end_silent", end_silent::PERIOD, None, term, || end_silent::run_once(context, &broken)),
        periodically("rescue", sweep / 2, Some(&signals.rescue), term, || rescue::run_once(context)),
        periodically("requeue_wiped", sweep / 2, None, term, || requeue_wiped::run_once(context)),
        periodically("requeue_recent", sweep * 2, None, term, || requeue_lost::recent(context)),
        periodically("requeue_all", REQUEUE_ALL_PERIOD, None, term, || requeue_lost::all(context)),
        periodically("recount", RECOUNT_PERIOD, None, term, || recount::run_once(context)),
        periodically("quarantine", sweep, None, term, || quarantine::run_once(context)),
        periodically("relax_exclusions", sweep * 2, None, term, || relax_exclusions::run_once(context)),
        due.run(term),
        periodically("run_schedules", sweep, Some(due.bell()), term, || run_schedules::run_once(
            context, &due
        )),
        prune(context, term),
    );
}

/// Runs what deletes rows that are over.
async fn prune(context: &Context, term: &CancellationToken) {
    tokio::join!(
        periodically("prune_output", PRUNE_PERIOD, None, term, || prune_output::run_once(context)),
        periodically("prune_keys", PRUNE_PERIOD, None, term, || prune_keys::run_once(context)),
        periodically("prune_workers", PRUNE_PERIOD, None, term, || prune_workers::run_once(context)),
        periodically("prune_deleted", DELETED_PERIOD, None, term, || prune_deleted::run_once(context)),
        periodically("prune_patches", PRUNE_PERIOD, None, term, || prune_patches::run_once(context)),
        periodically("prune_schedule_runs", PRUNE_PERIOD, None, term, || prune_schedule_runs::run_once(
            context
        )),
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
