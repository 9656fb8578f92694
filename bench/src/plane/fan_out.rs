//! Fan-out: 10,000 tasks wait for one. From the event of its end to the moment at which Redis knows the last of them.
//!
//! The children ask for a label that no worker offers, so what is measured is their release and nothing else.

use std::time::{Duration, SystemTime};

use makima_shared::domain::{Dependency, TaskSubmission};

use super::workers::{Fleet, Workers};
use super::{Measured, Plane, moved_at, null_worker, until};
use crate::floors::plain_sql::PlainSql;
use crate::floors::{Floor, Floors};
use crate::report::{Row, thousands};
use crate::samples::Samples;
use crate::timeline::between;

const ROUNDS: usize = 3;
const CHILDREN: usize = 10_000;
/// What the children ask for.
const LABEL: &str = "nobody";
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Measures it.
pub(super) async fn measure(plane: &Plane<'_>) -> anyhow::Result<Measured> {
    let mut plain = PlainSql::open(&plane.servers).await?;
    let phase = plane.progress.phase("fan-out", ROUNDS);
    plain.release(CHILDREN).await?;
    let (mut released, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floor.push(plain.release(CHILDREN).await?);
        released.push(round(plane).await?);
        phase.step();
    }
    plain.close().await?;
    let mut floors = Floors::default();
    floors.add(Floor::SqlRelease, Samples::of_durations(floor));
    let name = format!("fan-out of {}: parent done → last child queued", thousands(CHILDREN));
    let row = Row::millis(name, released, &[(1, Floor::SqlRelease)]).bar("1.5 x").beside(&floors);
    Ok((vec![row], floors))
}

async fn round(plane: &Plane<'_>) -> anyhow::Result<Duration> {
    let mut redis = plane.servers.redis().await?;
    let mut connection = plane.servers.connect().await?;
    let parent = plane.api.submit(&plane.task(null_worker::RETURN)).await?;
    let child = TaskSubmission {
        depends_on: vec![Dependency::Task(parent)],
        labels: vec![LABEL.to_owned()],
        ..plane.task(null_worker::RETURN)
    };
    let before = plane.ready(&mut redis, LABEL).await?;
    plane.submit_many(CHILDREN, &child).await?;
    let workers = Workers::start(plane, &Fleet { processes: 1, lives: 1, slots: 2, tell: None })?;
    until(LOOK_EVERY, async || Ok(plane.ready(&mut redis, LABEL).await? >= before + CHILDREN)).await?;
    let queued = SystemTime::now();
    workers.stop().await?;
    between(moved_at(&mut connection, &[parent], "done").await?, queued)
}
