//! What this machine costs by itself, measured in the same run: no dispatcher can be faster than these together.

pub(crate) mod plain_sql;
pub(crate) mod servers;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::client::Api;
use crate::progress::{Phase, Progress};
use crate::report::Unit;
use crate::samples::Samples;
use crate::stack::Servers;

/// How often something is done before it is measured.
const WARM_UP: usize = 10;

/// Something that the machine does for makima.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Floor {
    /// GET `/healthz` on a connection that stands, to the end of the answer.
    HttpRequest,
    /// A PING over Redis's unix socket, with the client that makima uses.
    RedisRoundTrip,
    /// An LPUSH over one connection, to the return of the BRPOP that waits for it on another.
    RedisWake,
    /// The insertion of one row of one column, committed: PostgreSQL answers once it is on the disk.
    Commit,
    /// `git worktree add --detach` of the repository of the tasks.
    WorktreeAdd,
    /// A `git status` after the first, with an index that is younger than the files.
    GitStatus,
    /// 25 changed files as a compressed patch: `git add -A` with a second index, `git write-tree`, `git diff --binary | gzip`.
    GitSnapshot,
    /// `git apply --binary` of that patch in another worktree.
    GitApply,
    /// An agent's run of which no checkpoint is taken.
    AgentAlone,
    /// Fork and exec of `true`, and the wait for its end.
    Spawn,
    /// What a task takes at least, without makima, as many at once as the workers have slots.
    BareTasks,
    /// The rows of tasks inserted, claimed and completed, with their events, by plain SQL in batches over one connection.
    SqlTasks,
    /// The rows of 10,000 pending tasks made `queued`, with their events, by one statement of plain SQL.
    SqlRelease,
    /// The claim of one task while few are queued.
    ClaimOfFew,
}

impl Floor {
    /// Each of them, in the order of the report.
    pub(crate) const ALL: [Self; 14] = [
        Self::HttpRequest,
        Self::RedisRoundTrip,
        Self::RedisWake,
        Self::Commit,
        Self::WorktreeAdd,
        Self::GitStatus,
        Self::GitSnapshot,
        Self::GitApply,
        Self::AgentAlone,
        Self::Spawn,
        Self::BareTasks,
        Self::SqlTasks,
        Self::SqlRelease,
        Self::ClaimOfFew,
    ];
    /// L: what one task on its way to a worker costs at least.
    pub(crate) const LATENCY: &[(usize, Self)] =
        &[(1, Self::HttpRequest), (1, Self::Commit), (1, Self::RedisWake)];

    /// Says what it is, for the table of floors.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HttpRequest => "empty HTTP request (/healthz)",
            Self::RedisRoundTrip => "Redis round trip (PING)",
            Self::RedisWake => "Redis push that wakes a blocked client",
            Self::Commit => "PostgreSQL commit (one row)",
            Self::WorktreeAdd => "git worktree add",
            Self::GitStatus => "git status, warm",
            Self::GitSnapshot => "git add, write-tree, diff, gzip (25 files)",
            Self::GitApply => "git apply (25 files)",
            Self::AgentAlone => "an agent's run without checkpoints",
            Self::Spawn => "fork and exec (true)",
            Self::BareTasks => "bare tasks, one per slot at once",
            Self::SqlTasks => "S: tasks by plain SQL, 500 at once",
            Self::SqlRelease => "10,000 tasks queued by one SQL update",
            Self::ClaimOfFew => "claim with 1,000 queued",
        }
    }

    /// Says what it is, in one word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::HttpRequest => "HTTP",
            Self::RedisRoundTrip => "Redis",
            Self::RedisWake => "wake",
            Self::Commit => "commit",
            Self::WorktreeAdd => "worktree",
            Self::GitStatus => "status",
            Self::GitSnapshot => "add + diff",
            Self::GitApply => "apply",
            Self::AgentAlone => "without",
            Self::Spawn => "exec",
            Self::BareTasks => "bare tasks",
            Self::SqlTasks => "S",
            Self::SqlRelease => "SQL update",
            Self::ClaimOfFew => "with 1,000",
        }
    }

    /// Returns what it is measured in.
    pub(crate) fn unit(self) -> Unit {
        match self {
            Self::HttpRequest
            | Self::RedisRoundTrip
            | Self::RedisWake
            | Self::Commit
            | Self::WorktreeAdd
            | Self::GitStatus
            | Self::GitSnapshot
            | Self::GitApply
            | Self::AgentAlone
            | Self::Spawn
            | Self::SqlRelease
            | Self::ClaimOfFew => Unit::Millis,
            Self::BareTasks | Self::SqlTasks => Unit::PerSecond,
        }
    }
}

/// The floors of one run.
#[derive(Debug, Default)]
pub(crate) struct Floors(BTreeMap<Floor, Samples>);

impl Floors {
    /// Measures those that [`Floor::LATENCY`] adds up, for a half of the samples.
    pub(crate) async fn measure_latencies(
        &mut self,
        progress: &Progress,
        api: &Api,
        servers: &Servers,
    ) -> anyhow::Result<()> {
        self.add(Floor::HttpRequest, servers::http_requests(progress, api).await?);
        self.add(Floor::Commit, servers::commits(progress, servers).await?);
        self.add(Floor::RedisWake, servers::redis_wakes(progress, servers).await?);
        Ok(())
    }

    /// Adds samples of one.
    pub(crate) fn add(&mut self, floor: Floor, samples: Samples) {
        self.0.entry(floor).or_default().extend(samples);
    }

    /// Adds all samples of others.
    pub(crate) fn extend(&mut self, others: Self) {
        for (floor, samples) in others.0 {
            self.add(floor, samples);
        }
    }

    /// Returns the samples of one.
    pub(crate) fn samples(&self, floor: Floor) -> Samples {
        self.0.get(&floor).cloned().unwrap_or_default()
    }

    /// Returns the sum of the medians of what is named, each as often as it says; none of nothing.
    pub(crate) fn median_of(&self, parts: &[(usize, Floor)]) -> Option<f64> {
        let medians =
            parts.iter().map(|(times, floor)| Some(*times as f64 * floor.unit().p50(&self.samples(*floor))?));
        if parts.is_empty() { None } else { medians.sum() }
    }
}

/// Does something again and again and takes the time that it says it took.
pub(crate) async fn repeat(
    phase: &Phase,
    count: usize,
    mut once: impl AsyncFnMut() -> anyhow::Result<Duration>,
) -> anyhow::Result<Samples> {
    for _ in 0..WARM_UP {
        once().await?;
    }
    let mut durations = Vec::with_capacity(count);
    for _ in 0..count {
        durations.push(once().await?);
        phase.step();
    }
    Ok(Samples::of_durations(durations))
}

/// Takes the time of something.
async fn timed<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<Duration> {
    let start = Instant::now();
    work.await?;
    Ok(start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_of_parts_is_the_sum_of_their_medians() {
        let mut floors = Floors::default();
        floors.add(Floor::Commit, Samples::of([1.0, 2.0, 30.0]));
        floors.add(Floor::Spawn, Samples::of([0.5]));
        assert_eq!(floors.median_of(&[(3, Floor::Commit), (1, Floor::Spawn)]), Some(6.5));
        assert_eq!(floors.median_of(&[(1, Floor::HttpRequest)]), None);
        assert_eq!(floors.median_of(&[]), None);
    }
}
