//! From the claim to the client's start, and from its end to `done`: one task at a time, whose client runs one command.

use std::time::Duration;

use makima_scripted_model::Step;

use super::{Around, client_stamp};
use crate::floors::Floor;
use crate::report::Row;
use crate::timeline::{Timeline, between};

/// Runs that are not measured.
const WARM_UP: usize = 5;
/// A client's task takes several times as long as a task without one.
const MOST_RUNS: usize = 100;

/// What of one task is makima's: claim to start, its two parts, and end to `done`.
struct Times {
    to_start: Duration,
    to_running: Duration,
    to_began: Duration,
    to_done: Duration,
}

/// Carries out a few tasks, so that the worker has its copy of the repository, its connections and its code in memory.
pub(super) async fn warm_up(around: &Around<'_>) -> anyhow::Result<()> {
    let phase = around.bench.progress.phase("client: warming up", WARM_UP);
    for _ in 0..WARM_UP {
        one(around).await?;
        phase.step();
    }
    Ok(())
}

/// Measures it.
pub(super) async fn measure(around: &Around<'_>) -> anyhow::Result<Vec<Row>> {
    let runs = around.bench.options.runs.get().min(MOST_RUNS);
    let phase = around.bench.progress.phase("client: claim to done", runs);
    let mut all = Vec::with_capacity(runs);
    for _ in 0..runs {
        all.push(one(around).await?);
        phase.step();
    }
    let level = around.level.words();
    let each = |time: fn(&Times) -> Duration| all.iter().map(time).collect::<Vec<_>>();
    Ok(vec![
        Row::millis(
            format!("{level}: claim → agent started"),
            each(|times| times.to_start),
            &[(2, Floor::Commit), (1, Floor::WorktreeAdd), (1, Floor::Spawn)],
        ),
        Row::millis(
            "· claim → running",
            each(|times| times.to_running),
            &[(1, Floor::Commit), (1, Floor::WorktreeAdd)],
        ),
        Row::millis(
            "· running → agent started",
            each(|times| times.to_began),
            &[(1, Floor::Commit), (1, Floor::Spawn)],
        ),
        Row::millis(
            format!("{level}: agent ended → done"),
            each(|times| times.to_done),
            &[(1, Floor::Commit)],
        ),
    ])
}

async fn one(around: &Around<'_>) -> anyhow::Result<Times> {
    let api = &around.bench.api;
    let task = around.task(&[Step::run("true"), Step::say("done")]);
    let history = api.follow(api.submit(&task).await?).await?;
    let timeline = Timeline::of(&history.events)?;
    let (began, ended) = client_stamp::read(&history.events)?;
    Ok(Times {
        to_start: between(timeline.claimed, began)?,
        to_running: between(timeline.claimed, timeline.running)?,
        to_began: between(timeline.running, began)?,
        to_done: between(ended, timeline.done)?,
    })
}
