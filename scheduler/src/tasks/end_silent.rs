//! Ends workers that have fallen silent, so that what they held is rescued long before their leases are over.
//!
//! A worker whose subscription in Redis is gone is *suspected*, which makes the scheduler look and decides nothing. It is
//! ended if, seen again, it is still gone, has not renewed its lease meanwhile, and its beat is overdue. A live worker
//! renews at once when its connection breaks, and on a thread of its own every beat, so neither a Redis that restarts
//! nor one that lost everything ends anybody; nor does a worker that does without Redis for hours become suspect again by
//! every beat that is a little late. A frozen worker keeps its connection: only the lease ends it.
//!
//! What this can get wrong, and why that does no lasting harm, is said in `shared/src/store/silence.rs` and in
//! `docs/adr/0008-a-broken-connection-is-a-hint.md`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use makima_shared::domain::WorkerId;
use makima_shared::store::WorkerBeat;
use makima_shared::telemetry::names;
use tracing::{debug, warn};

use crate::Context;
use crate::report::{ReconcileError, Report};

/// How often the connections are looked at.
pub(crate) const PERIOD: Duration = Duration::from_millis(250);

/// Workers that had no connection at the last look, and when each had last renewed at the first look of those.
///
/// Only a hint like the rest: a leader that starts without it needs one look more.
#[derive(Default)]
pub(crate) struct Broken(Mutex<HashMap<WorkerId, DateTime<Utc>>>);

/// Looks once, and has the tasks of those that it ended rescued.
pub(crate) async fn run_once(context: &Context, broken: &Broken) -> Result<Report, ReconcileError> {
    let beats = context.store.workers_beats().await?;
    let ids: Vec<_> = beats.iter().map(|beat| beat.id).collect();
    let absent = match context.queue.workers_absent(&ids).await {
        Ok(absent) => absent,
        Err(error) => {
            debug!(error = &error as &dyn std::error::Error, "no connection can be looked at");
            return Ok(Report { changed: 0, more: false });
        }
    };
    let Look { newly_gone, suspects } = broken.look(&beats, &absent);
    for worker in newly_gone {
        // No bell shall lie with the dead until they are known to be dead. One that lives asks again by itself.
        let _ = context.queue.worker_step_aside(worker).await;
    }
    if suspects.is_empty() {
        return Ok(Report { changed: 0, more: false });
    }
    let ended = context.store.workers_end_silent(&suspects).await?;
    for worker in &ended {
        warn!(worker.id = %worker, "the worker's connection is broken and its beat overdue: ended");
        metrics::counter!(names::LEASE_EXPIRIES, "cause" => "connection").increment(1);
    }
    if !ended.is_empty() {
        context.signals.workers_lost();
    }
    for worker in &ended {
        // A hint like any other: an entry left behind costs one bell that nobody hears.
        let _ = context.queue.worker_forget(*worker).await;
    }
    Ok(Report { changed: ended.len(), more: false })
}

/// What one look has found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Look {
    /// Those whose connection was there at the look before.
    newly_gone: Vec<WorkerId>,
    /// Those that had none at the look before either, and have not renewed since.
    suspects: Vec<WorkerId>,
}

impl Broken {
    /// Takes in who has no connection now.
    fn look(&self, beats: &[WorkerBeat], absent: &[WorkerId]) -> Look {
        let renewed: HashMap<_, _> = beats.iter().map(|beat| (beat.id, beat.renewed_at)).collect();
        let mut broken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *broken);
        let mut look = Look::default();
        for (id, renewed_at) in absent.iter().filter_map(|id| Some((*id, *renewed.get(id)?))) {
            let first_seen = before.get(&id).copied();
            match first_seen {
                None => look.newly_gone.push(id),
                Some(seen) if seen == renewed_at => look.suspects.push(id),
                Some(_renewed_since) => {}
            }
            broken.insert(id, first_seen.unwrap_or(renewed_at));
        }
        look
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn beat(id: WorkerId, secs: i64) -> WorkerBeat {
        WorkerBeat { id, renewed_at: DateTime::UNIX_EPOCH + TimeDelta::seconds(secs) }
    }

    fn gone(workers: &[WorkerId]) -> Look {
        Look { newly_gone: workers.to_vec(), suspects: Vec::new() }
    }

    fn suspected(workers: &[WorkerId]) -> Look {
        Look { newly_gone: Vec::new(), suspects: workers.to_vec() }
    }

    #[test]
    fn a_worker_is_suspected_at_the_second_look_unless_it_renewed_since_the_first() {
        let (broken, dead, alive) = (Broken::default(), WorkerId::new(), WorkerId::new());
        let absent = [dead, alive];
        assert_eq!(broken.look(&[beat(dead, 1), beat(alive, 1)], &absent), gone(&absent));
        assert_eq!(broken.look(&[beat(dead, 1), beat(alive, 2)], &absent), suspected(&[dead]));
        // Whoever has renewed without a connection can do without it, however late its next beat.
        assert_eq!(broken.look(&[beat(dead, 1), beat(alive, 2)], &absent), suspected(&[dead]));
    }

    #[test]
    fn a_connection_that_was_mended_and_breaks_again_is_judged_anew() {
        let (broken, worker) = (Broken::default(), WorkerId::new());
        assert_eq!(broken.look(&[beat(worker, 1)], &[worker]), gone(&[worker]));
        assert_eq!(broken.look(&[beat(worker, 2)], &[]), Look::default());
        assert_eq!(broken.look(&[beat(worker, 3)], &[worker]), gone(&[worker]));
        assert_eq!(broken.look(&[beat(worker, 3)], &[worker]), suspected(&[worker]));
    }
}
