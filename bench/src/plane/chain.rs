//! A chain: each task waits for the one before. A hop is from the call of one runner to the call of the next.

use makima_shared::domain::{Dependency, TaskSubmission};

use super::started::Starts;
use super::workers::{Fleet, Workers};
use super::{Measured, Plane, null_worker};
use crate::floors::{Floor, Floors};
use crate::report::{Row, thousands};
use crate::timeline::between;

const TASKS: usize = 1_000;

/// Measures it.
pub(super) async fn measure(plane: &Plane<'_>) -> anyhow::Result<Measured> {
    let starts = Starts::listen(plane.scratch.path())?;
    let fleet = Fleet { processes: 2, lives: 1, slots: 2, tell: Some(starts.path()) };
    let workers = Workers::start_idle(plane, &fleet).await?;
    let mut floors = Floors::default();
    plane.latency_floors(&mut floors).await?;
    let phase = plane.progress.phase("a chain of tasks", TASKS);
    plane.api.submit_bulk(&chain(plane)).await?;
    let mut hops = Vec::with_capacity(TASKS);
    let mut last = starts.next().await?;
    for _ in 1..TASKS {
        let start = starts.next().await?;
        hops.push(between(last.at, start.at)?);
        last = start;
        phase.step();
    }
    plane.latency_floors(&mut floors).await?;
    workers.stop().await?;
    let name = format!("a chain of {} tasks, per hop", thousands(TASKS));
    let row = Row::millis(name, hops, Floor::LATENCY).bar("2 L").beside(&floors);
    Ok((vec![row], floors))
}

fn chain(plane: &Plane<'_>) -> Vec<TaskSubmission> {
    let link = |place: usize| TaskSubmission {
        reference: Some(place.to_string()),
        depends_on: place
            .checked_sub(1)
            .map(|before| Dependency::Ref(before.to_string()))
            .into_iter()
            .collect(),
        ..plane.task(null_worker::TELL)
    };
    (0..TASKS).map(link).collect()
}
