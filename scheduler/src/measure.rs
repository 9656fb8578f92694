//! Measures queue, tasks and workers for the metrics of a leader, and for nobody where no metrics are shown.
//!
//! The gauges stand at 0 on a scheduler that does not lead, so that their sum over all schedulers is right.

use std::collections::BTreeSet;
use std::time::Duration;

use makima_shared::domain::{FleetSize, TaskStatus};
use makima_shared::store::{FleetLoad, StoreError, answered, rest_after};
use makima_shared::telemetry::{metrics_are_recorded, names};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::Context;

/// How long a measurement is good for, where it costs next to nothing.
const SHORTEST_REST: Duration = Duration::from_secs(5);
/// The statuses that cost no more to count than there is to do.
const LIVE: [TaskStatus; 4] =
    [TaskStatus::Pending, TaskStatus::Queued, TaskStatus::Starting, TaskStatus::Running];

/// Measures until the term ends.
pub(crate) async fn run(context: &Context, term: &CancellationToken) {
    if !metrics_are_recorded() {
        return;
    }
    let mut gauges = Gauges::default();
    loop {
        let begun = Instant::now();
        let measured = tokio::select! {
            () = term.cancelled() => break,
            measured = answered(measure(context)) => measured,
        };
        metrics::histogram!(names::MEASURE_SECONDS).record(begun.elapsed());
        match measured {
            Ok((load, size)) => gauges.set(&load, size),
            Err(error) => debug!(error = &error as &dyn std::error::Error, "nothing was measured"),
        }
        tokio::select! {
            () = term.cancelled() => break,
            () = sleep(rest_after(begun.elapsed(), SHORTEST_REST)) => {} // why: the period of the measurement
        }
    }
    gauges.set(&FleetLoad::default(), FleetSize::default());
}

async fn measure(context: &Context) -> Result<(FleetLoad, FleetSize), StoreError> {
    Ok((context.store.fleet_load().await?, context.store.fleet_size().await?))
}

#[derive(Default)]
struct Gauges {
    /// The priorities that something was queued with: a gauge that was set once has to be set for ever.
    priorities: BTreeSet<i16>,
}

impl Gauges {
    fn set(&mut self, load: &FleetLoad, size: FleetSize) {
        self.priorities.extend(load.queue.iter().map(|queue| queue.priority));
        for priority in &self.priorities {
            let queue = load.queue.iter().find(|queue| queue.priority == *priority);
            let (depth, age) = queue.map_or((0, 0.0), |queue| (queue.depth, queue.oldest_age_secs));
            let priority = priority.to_string();
            metrics::gauge!(names::QUEUE_DEPTH, "priority" => priority.clone()).set(depth as f64);
            metrics::gauge!(names::QUEUE_OLDEST_AGE_SECONDS, "priority" => priority).set(age);
        }
        for status in LIVE {
            metrics::gauge!(names::TASKS, "status" => status.as_str()).set(load.tasks(status) as f64);
        }
        metrics::gauge!(names::WORKERS_ALIVE).set(size.workers as f64);
        metrics::gauge!(names::SLOTS).set(size.slots as f64);
        metrics::gauge!(names::SLOTS_BUSY).set(size.slots_busy as f64);
    }
}
