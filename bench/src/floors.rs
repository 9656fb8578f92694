//! What this machine costs by itself, measured in the same run: no dispatcher can be faster than these together.

mod bare_tasks;
mod processes;
mod servers;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::progress::Phase;
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
    /// The insertion of one row of one column, committed: PostgreSQL answers once it is on the disk.
    Commit,
    /// `git worktree add --detach` of the repository of the tasks.
    WorktreeAdd,
    /// Fork and exec of `true`, and the wait for its end.
    Spawn,
    /// What a task takes at least, without makima, as many at once as the workers have slots.
    BareTasks,
}

impl Floor {
    /// Each of them, in the order of the report.
    pub(crate) const ALL: [Self; 6] = [
        Self::HttpRequest,
        Self::RedisRoundTrip,
        Self::Commit,
        Self::WorktreeAdd,
        Self::Spawn,
        Self::BareTasks,
    ];

    /// Says what it is, for the table of floors.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HttpRequest => "empty HTTP request (/healthz)",
            Self::RedisRoundTrip => "Redis round trip (PING)",
            Self::Commit => "PostgreSQL commit (one row)",
            Self::WorktreeAdd => "git worktree add",
            Self::Spawn => "fork and exec (true)",
            Self::BareTasks => "bare tasks, one per slot at once",
        }
    }

    /// Says what it is, in one word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::HttpRequest => "HTTP",
            Self::RedisRoundTrip => "Redis",
            Self::Commit => "commit",
            Self::WorktreeAdd => "worktree",
            Self::Spawn => "exec",
            Self::BareTasks => "bare tasks",
        }
    }

    /// Returns what it is measured in.
    pub(crate) fn unit(self) -> Unit {
        match self {
            Self::HttpRequest | Self::RedisRoundTrip | Self::Commit | Self::WorktreeAdd | Self::Spawn => {
                Unit::Millis
            }
            Self::BareTasks => Unit::PerSecond,
        }
    }
}

/// The floors of one run.
#[derive(Debug, Default)]
pub(crate) struct Floors(BTreeMap<Floor, Samples>);

impl Floors {
    /// Measures the single floors, for a half of the samples.
    pub(crate) async fn measure_half(&mut self, bench: &Bench<'_>, servers: &Servers) -> anyhow::Result<()> {
        self.add(Floor::HttpRequest, servers::http_requests(bench).await?);
        self.add(Floor::RedisRoundTrip, servers::redis_round_trips(bench, servers).await?);
        self.add(Floor::Commit, servers::commits(bench, servers).await?);
        self.add(Floor::WorktreeAdd, processes::worktrees(bench).await?);
        self.add(Floor::Spawn, processes::spawns(bench).await?);
        Ok(())
    }

    /// Measures the bare tasks, for a half of the samples.
    pub(crate) async fn measure_bare_half(
        &mut self,
        bench: &Bench<'_>,
        servers: &Servers,
    ) -> anyhow::Result<()> {
        self.add(Floor::BareTasks, bare_tasks::run(bench, servers).await?);
        Ok(())
    }

    fn add(&mut self, floor: Floor, samples: Samples) {
        self.0.entry(floor).or_default().extend(samples);
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
async fn repeat(
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
