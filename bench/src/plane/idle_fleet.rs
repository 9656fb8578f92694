//! What 1,000 idle workers cost PostgreSQL and Redis together: processor time of both servers, in percent of one core.
//!
//! They are 1,000 workers, each with its lease's thread and connection, its pool, its inbox and its audit, in ten processes
//! of a hundred, because the machine that measures is small.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::time::sleep;

use super::workers::{Fleet, Workers};
use super::{Measured, Plane, processes};
use crate::floors::Floors;
use crate::report::{Row, thousands};
use crate::samples::Samples;

const PROCESSES: usize = 10;
const LIVES: usize = 100;
/// Time for the wave of registrations to run out.
const SETTLES_WITHIN: Duration = Duration::from_secs(15);
const WATCHED_FOR: Duration = Duration::from_secs(30);
const WATCHED_ALONE_FOR: Duration = Duration::from_secs(10);

/// Measures it.
pub(super) async fn measure(plane: &Plane<'_>) -> anyhow::Result<Measured> {
    let workers = PROCESSES * LIVES;
    let _phase = plane.progress.phase("idle workers", workers);
    let alone = load(plane, WATCHED_ALONE_FOR).await?;
    let hundred = Fleet { processes: 1, lives: LIVES, slots: 2, tell: None };
    let mut fleet = Vec::with_capacity(PROCESSES);
    for _ in 0..PROCESSES {
        fleet.push(Workers::start_idle(plane, &hundred).await?);
    }
    sleep(SETTLES_WITHIN).await; // why: see SETTLES_WITHIN
    let idle = load(plane, WATCHED_FOR).await?;
    try_join_all(fleet.into_iter().map(Workers::stop)).await?;
    let name = format!("{} idle workers: load on PostgreSQL and Redis", thousands(workers));
    let rows = vec![
        Row::percent(name, Samples::of([idle.0 + idle.1])).bar("10 % of a core"),
        Row::percent("· of PostgreSQL", Samples::of([idle.0])),
        Row::percent("· of Redis", Samples::of([idle.1])),
        Row::percent("· of both without workers", Samples::of([alone.0 + alone.1])),
    ];
    Ok((rows, Floors::default()))
}

/// Returns the loads of PostgreSQL and of Redis, in percent of a core.
async fn load(plane: &Plane<'_>, time: Duration) -> anyhow::Result<(f64, f64)> {
    let (before, start) = (cpu_secs(plane)?, Instant::now());
    sleep(time).await; // why: the load is that of a while
    let (after, elapsed) = (cpu_secs(plane)?, start.elapsed().as_secs_f64());
    let percent = |before: f64, after: f64| 100.0 * (after - before).max(0.0) / elapsed;
    Ok((percent(before.0, after.0), percent(before.1, after.1)))
}

fn cpu_secs(plane: &Plane<'_>) -> anyhow::Result<(f64, f64)> {
    let below = processes::below(plane.up)?;
    let of = |name: &str| below.iter().filter(|one| one.name.starts_with(name)).map(|one| one.cpu_secs).sum();
    Ok((of("postgres"), of("redis-server") + of("valkey-server")))
}
