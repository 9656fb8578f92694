//! Fan-in: one task waits for 10,000. From the event of the last one's end to that of the child's release, and to the call
//! of the child's runner.

use std::time::Duration;

use makima_shared::domain::{Dependency, TaskSubmission};

use super::started::Starts;
use super::workers::{Fleet, Workers};
use super::{Measured, Plane, moved_at, null_worker};
use crate::floors::{Floor, Floors};
use crate::report::{Row, thousands};
use crate::timeline::between;

const ROUNDS: usize = 5;
const PARENTS: usize = 10_000;

/// Measures it.
pub(super) async fn measure(plane: &Plane<'_>) -> anyhow::Result<Measured> {
    let mut floors = Floors::default();
    plane.latency_floors(&mut floors).await?;
    let phase = plane.progress.phase("fan-in", ROUNDS);
    let (mut queued, mut started) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (to_queued, to_started) = round(plane).await?;
        queued.push(to_queued);
        started.push(to_started);
        phase.step();
    }
    plane.latency_floors(&mut floors).await?;
    let name = format!("fan-in of {}: last parent done → child queued", thousands(PARENTS));
    let rows = vec![
        Row::millis(name, queued, Floor::LATENCY).bar("5 L"),
        Row::millis("· last parent done → child's runner started", started, Floor::LATENCY),
    ];
    Ok((rows.into_iter().map(|row| row.beside(&floors)).collect(), floors))
}

async fn round(plane: &Plane<'_>) -> anyhow::Result<(Duration, Duration)> {
    let starts = Starts::listen(plane.scratch.path())?;
    let mut connection = plane.servers.connect().await?;
    let parents = plane.submit_many(PARENTS, &plane.task(null_worker::RETURN)).await?;
    let child = TaskSubmission {
        depends_on: parents.iter().copied().map(Dependency::Task).collect(),
        ..plane.task(null_worker::TELL)
    };
    let child = plane.api.submit(&child).await?;
    let fleet = Fleet { processes: 2, lives: 1, slots: 500, tell: Some(starts.path()) };
    let workers = Workers::start(plane, &fleet)?;
    let start = starts.of(child).await?;
    workers.stop().await?;
    let done = moved_at(&mut connection, &parents, "done").await?;
    let queued = moved_at(&mut connection, &[child], "queued").await?;
    Ok((between(done, queued)?, between(done, start.at)?))
}
