//! What is done before anything is measured: every worker carries out a few tasks, so that each has its copy of the
//! repository, its connections and its code in memory.

use std::collections::HashSet;

use anyhow::bail;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::Bench;
use crate::timeline::Timeline;

/// How many rounds there are at least, and at most until each worker has had a task.
const ROUNDS: std::ops::RangeInclusive<usize> = 3..=20;

/// Keeps all slots busy, round by round.
pub(crate) async fn run(bench: &Bench<'_>) -> anyhow::Result<()> {
    let workers = bench.options.workers.get();
    let phase = bench.progress.phase("warming up", *ROUNDS.start());
    let mut met = HashSet::new();
    for round in 1..=*ROUNDS.end() {
        met.extend(one_round(bench).await?);
        phase.step();
        if met.len() >= workers && round >= *ROUNDS.start() {
            return Ok(());
        }
    }
    bail!("only {} of {workers} workers take tasks", met.len());
}

/// Runs a task for every slot at once and returns the workers that took them.
async fn one_round(bench: &Bench<'_>) -> anyhow::Result<Vec<String>> {
    let count = bench.options.concurrent();
    let workers: Vec<Vec<String>> = stream::iter(0..count)
        .map(|_| async {
            let history = bench.api.follow(bench.api.submit(&bench.no_op()).await?).await?;
            Timeline::of(&history.events)?;
            let named = history.events.iter().filter_map(|event| event.data["workerId"].as_str());
            anyhow::Ok(named.map(str::to_owned).collect())
        })
        .buffer_unordered(count)
        .try_collect()
        .await?;
    Ok(workers.concat())
}
