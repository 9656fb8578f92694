//! The floor of the throughput: what a no-op task takes at least, without makima.
//!
//! As many lanes as the workers have slots, each with a connection and a copy of the repository of its own, so that
//! nothing waits for anything but the machine. A bare task is a worktree made, `true` run, the worktree removed, and a
//! commit of one row for each of a task's four moves: queued, claimed, running, done.

use std::path::Path;
use std::time::SystemTime;

use futures_util::{StreamExt, TryStreamExt, stream};
use sqlx::postgres::PgConnection;

use super::{Bench, processes, repository};
use crate::floors::servers;
use crate::progress::Phase;
use crate::samples::{Samples, rates};

/// Bare tasks in one half, in all lanes together.
const TASKS: usize = 200;
/// Bare tasks to one sample of the throughput.
const SLICE: usize = 20;
/// A lane's first tasks, not measured.
const WARM_UP: usize = 2;
const COMMITS: usize = 4;

/// Measures how many bare tasks the machine does per second.
pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<Samples> {
    let dir = tempfile::tempdir_in(bench.scratch.path())?;
    let mut connection = bench.servers.connect().await?;
    servers::make_table(&mut connection).await?;
    let mut lanes = Vec::new();
    for number in 0..bench.options.concurrent() {
        lanes.push(Lane::open(bench, &dir.path().join(number.to_string())).await?);
    }
    let phase = bench.progress.phase("floor: bare tasks", TASKS);
    let per_lane = TASKS / lanes.len();
    let start = SystemTime::now();
    let count = lanes.len();
    let ends: Vec<Vec<SystemTime>> = stream::iter(lanes)
        .map(|lane| lane.run(per_lane, &phase))
        .buffer_unordered(count)
        .try_collect()
        .await?;
    servers::drop_table(&mut connection).await?;
    Ok(rates(start, ends.concat(), SLICE))
}

struct Lane {
    git_dir: std::path::PathBuf,
    connection: PgConnection,
}

impl Lane {
    async fn open(bench: &Bench<'_>, dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir(dir)?;
        let git_dir = dir.join("copy.git");
        repository::copy(&bench.repository, &git_dir).await?;
        let mut lane = Self { git_dir, connection: bench.servers.connect().await? };
        for _ in 0..WARM_UP {
            lane.bare_task().await?;
        }
        Ok(lane)
    }

    async fn run(mut self, tasks: usize, phase: &Phase) -> anyhow::Result<Vec<SystemTime>> {
        let mut ends = Vec::with_capacity(tasks);
        for _ in 0..tasks {
            self.bare_task().await?;
            ends.push(SystemTime::now());
            phase.step();
        }
        Ok(ends)
    }

    async fn bare_task(&mut self) -> anyhow::Result<()> {
        processes::worktree_add(&self.git_dir).await?;
        processes::spawn().await?;
        processes::worktree_remove(&self.git_dir)?;
        for _ in 0..COMMITS {
            servers::commit(&mut self.connection).await?;
        }
        Ok(())
    }
}
