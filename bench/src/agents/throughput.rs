//! Many no-op tasks at once: from the first POST to the last `done`.
//!
//! A bounded number of clients submits; once everything is submitted they follow the tasks to their ends, each one event
//! stream at a time, so that watching costs little of what is watched. When a task was done its event tells.

use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use makima_shared::domain::TaskId;

use super::Bench;
use crate::floors::Floor;
use crate::report::{Row, thousands};
use crate::samples::{Samples, rate, rates};
use crate::timeline::{Timeline, between};

/// Samples of the throughput: a run is cut into so many slices of equally many tasks.
const SLICES: usize = 20;

/// Measures it.
pub(crate) async fn measure(bench: &Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let tasks = bench.options.tasks.get();
    let start = SystemTime::now();
    let submitted = submit(bench, tasks).await?;
    let submitted_at = SystemTime::now();
    let ids = submitted.iter().map(|(id, _)| *id).collect();
    let timelines = follow(bench, ids).await?;
    let done: Vec<_> = timelines.iter().map(|timeline| timeline.done).collect();
    let last = done.iter().max().context("there were no tasks")?;
    let held = timelines.iter().map(|timeline| between(timeline.claimed, timeline.done));
    let held = held.collect::<anyhow::Result<Vec<_>>>()?;
    let answers = submitted.iter().map(|(_, answer)| *answer);

    let clients = bench.options.clients.get();
    let title = format!("{} no-op tasks", thousands(tasks));
    let slice = tasks.div_ceil(SLICES);
    let bare: &'static [_] = &[(1, Floor::BareTasks)];
    Ok(vec![
        Row::per_second(
            format!("{title}, first POST → last done"),
            Samples::of([rate(tasks, start, *last)]),
            bare,
        ),
        Row::per_second(format!("· by slices of {slice}"), rates(start, done, slice), bare),
        Row::per_second(
            format!("· submitted by {clients} clients"),
            Samples::of([rate(tasks, start, submitted_at)]),
            &[],
        ),
        Row::millis("· POST → answer", answers, &[(1, Floor::HttpRequest), (1, Floor::Commit)]),
        Row::millis(
            "· claimed → done",
            held,
            &[(3, Floor::Commit), (1, Floor::WorktreeAdd), (1, Floor::Spawn)],
        ),
    ])
}

/// Submits the tasks and returns them in about that order, with how long each answer took.
async fn submit(bench: &Bench<'_>, tasks: usize) -> anyhow::Result<Vec<(TaskId, Duration)>> {
    let phase = bench.progress.phase("throughput: submitted", tasks);
    stream::iter(0..tasks)
        .map(|_| async {
            let post = Instant::now();
            let id = bench.api.submit(&bench.no_op()).await?;
            phase.step();
            Ok((id, post.elapsed()))
        })
        .buffered(bench.options.clients.get())
        .try_collect()
        .await
}

/// Follows the tasks, oldest first, until all are done.
async fn follow(bench: &Bench<'_>, ids: Vec<TaskId>) -> anyhow::Result<Vec<Timeline>> {
    let phase = bench.progress.phase("throughput: done", ids.len());
    stream::iter(ids)
        .map(|id| {
            let phase = &phase;
            async move {
                let timeline = Timeline::of(&bench.api.follow(id).await?.events)?;
                phase.step();
                Ok(timeline)
            }
        })
        .buffer_unordered(bench.options.clients.get())
        .try_collect()
        .await
}
