//! From the POST to the agent's first instruction, on an idle system.
//!
//! The agent is this program itself, which takes the time before it does anything else. Start of the program's image by
//! the kernel and the loader is therefore part of the figure. One task at a time: the next is submitted when the one
//! before is done and its workspace removed.

use std::time::SystemTime;

use super::{Bench, agent_stamp};
use crate::floors::Floor;
use crate::report::Row;
use crate::timeline::{Timeline, between};

/// Runs that are not measured.
const WARM_UP: usize = 5;

/// Measures it.
pub(crate) async fn measure(bench: &Bench<'_>) -> anyhow::Result<Vec<Row>> {
    let file = bench.scratch.path().join("agent-stamp");
    let task = bench.task(agent_stamp::argv(&file)?);
    let runs = bench.options.runs.get();
    let phase = bench.progress.phase("POST to agent started", runs);
    let (mut from_post, mut from_running) = (Vec::new(), Vec::new());
    for run in 0..WARM_UP + runs {
        let post = SystemTime::now();
        let id = bench.api.submit(&task).await?;
        let history = bench.api.follow(id).await?;
        let agent = agent_stamp::read(&file)?;
        std::fs::remove_file(&file)?;
        if run >= WARM_UP {
            from_post.push(between(post, agent)?);
            from_running.push(between(Timeline::of(&history.events)?.running, agent)?);
            phase.step();
        }
    }
    Ok(vec![
        Row::millis(
            "idle: POST → agent started",
            from_post,
            &[
                (1, Floor::HttpRequest),
                (3, Floor::Commit),
                (2, Floor::RedisRoundTrip),
                (1, Floor::WorktreeAdd),
                (1, Floor::Spawn),
            ],
        ),
        Row::millis("· running → agent started", from_running, &[(1, Floor::Commit), (1, Floor::Spawn)]),
    ])
}
