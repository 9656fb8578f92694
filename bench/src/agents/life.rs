//! The whole life of a task whose agent does nothing, on an idle system: from the POST to the arrival of `done` on the
//! event stream, and the parts between.
//!
//! The parts are cut where the events were written, each a moment before its commit, so a part holds the commit of the
//! move that begins it.

use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;

use super::Bench;
use crate::floors::Floor;
use crate::report::Row;
use crate::timeline::{Timeline, between};

/// Runs that are not measured.
const WARM_UP: usize = 5;

/// The figures of one task: the whole, the answer to its POST, and five parts.
type Life = [Duration; NAMES.len()];

const NAMES: [&str; 7] = [
    "idle: no-op task, POST → done seen",
    "· POST → answer",
    "· POST → queued",
    "· queued → claimed",
    "· claimed → running",
    "· running → done",
    "· done → seen on the stream",
];

/// What each takes at least. The floor of the whole is the sum of its parts'.
const FLOORS: [&[(usize, Floor)]; NAMES.len()] = [
    &[
        (1, Floor::HttpRequest),
        (4, Floor::Commit),
        (3, Floor::RedisRoundTrip),
        (1, Floor::WorktreeAdd),
        (1, Floor::Spawn),
    ],
    &[(1, Floor::HttpRequest), (1, Floor::Commit)],
    &[(1, Floor::HttpRequest)],
    &[(1, Floor::Commit), (2, Floor::RedisRoundTrip)],
    &[(1, Floor::Commit), (1, Floor::WorktreeAdd)],
    &[(1, Floor::Commit), (1, Floor::Spawn)],
    &[(1, Floor::Commit), (1, Floor::RedisRoundTrip)],
];

/// Measures it.
pub(crate) async fn measure(bench: &Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let runs = bench.options.runs.get();
    let phase = bench.progress.phase("a no-op task's life", runs);
    let mut lives: Vec<Life> = Vec::with_capacity(runs);
    for run in 0..WARM_UP + runs {
        let life = one_life(bench).await?;
        if run >= WARM_UP {
            lives.push(life);
            phase.step();
        }
    }
    let row = |index: usize| Row::millis(NAMES[index], lives.iter().map(|life| life[index]), FLOORS[index]);
    Ok((0..NAMES.len()).map(row).collect())
}

async fn one_life(bench: &Bench<'_>) -> anyhow::Result<Life> {
    let (post, posted_at) = (Instant::now(), SystemTime::now());
    let id = bench.api.submit(&bench.no_op()).await?;
    let answered = post.elapsed();
    let history = bench.api.follow(id).await?;
    let whole = history.end_seen.duration_since(post);
    let timeline = Timeline::of(&history.events)?;
    let to_done = between(posted_at, timeline.done)?;
    Ok([
        whole,
        answered,
        between(posted_at, timeline.queued)?,
        between(timeline.queued, timeline.claimed)?,
        between(timeline.claimed, timeline.running)?,
        between(timeline.running, timeline.done)?,
        whole.checked_sub(to_done).context("the clock was set forward during the run")?,
    ])
}
