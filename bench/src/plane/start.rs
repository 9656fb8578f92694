//! From the POST to the call of the runner, on an idle plane.
//!
//! One task at a time: the next is submitted when the one before is done. The runner reads the clock first of all.

use std::time::SystemTime;

use super::started::Starts;
use super::workers::{Fleet, Workers};
use super::{Measured, Plane, null_worker};
use crate::floors::{Floor, Floors};
use crate::report::Row;
use crate::timeline::between;

/// Runs that are not measured.
const WARM_UP: usize = 20;

/// Measures it.
pub(super) async fn measure(plane: &Plane<'_>) -> anyhow::Result<Measured> {
    let starts = Starts::listen(plane.scratch.path())?;
    let fleet = Fleet { processes: 2, lives: 1, slots: 2, tell: Some(starts.path()) };
    let workers = Workers::start_idle(plane, &fleet).await?;
    let mut floors = Floors::default();
    plane.latency_floors(&mut floors).await?;
    let task = plane.task(null_worker::TELL);
    let runs = plane.options.runs.get();
    let phase = plane.progress.phase("POST to runner started", runs);
    let (mut started, mut answered) = (Vec::new(), Vec::new());
    for run in 0..WARM_UP + runs {
        let post = SystemTime::now();
        let id = plane.api.submit(&task).await?;
        let answer = SystemTime::now();
        let start = starts.of(id).await?;
        if run >= WARM_UP {
            started.push(between(post, start.at)?);
            answered.push(between(post, answer)?);
            phase.step();
        }
        plane.api.follow(id).await?;
    }
    plane.latency_floors(&mut floors).await?;
    workers.stop().await?;
    let rows = vec![
        Row::millis("idle: POST → runner started", started, Floor::LATENCY).bar("1.5 L / 6 L"),
        Row::millis("· POST → answer", answered, &[(1, Floor::HttpRequest), (1, Floor::Commit)]),
    ];
    Ok((rows.into_iter().map(|row| row.beside(&floors)).collect(), floors))
}
