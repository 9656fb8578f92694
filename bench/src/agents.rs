//! Whole tasks: agents in worktrees of a real repository, as `makima up` runs them for anybody.
//!
//! ```text
//!  stack ▶ warm-up ▶ floors ▶ latency ▶ life ▶ throughput ▶ floors
//! ```

pub(crate) mod agent_stamp;
mod bare_tasks;
mod latency;
mod life;
mod processes;
pub(crate) mod repository;
mod throughput;
mod warm_up;

use std::path::PathBuf;

use makima_shared::domain::{Agent, TaskSubmission};

use crate::client::Api;
use crate::floors::{Floor, Floors, servers};
use crate::options::Options;
use crate::progress::Progress;
use crate::report::Part;
use crate::scratch::Scratch;
use crate::stack::{Servers, Shape, Stack};

/// The names of the measurements, for `--only`.
pub(crate) const NAMES: [&str; 3] = ["agent-start", "life", "throughput"];

/// A running stack, and the means to measure it.
pub(crate) struct Bench<'a> {
    pub(crate) options: &'a Options,
    pub(crate) scratch: &'a Scratch,
    pub(crate) progress: &'a Progress,
    /// The repository of every task.
    pub(crate) repository: PathBuf,
    pub(crate) api: Api,
    pub(crate) servers: Servers,
}

impl Bench<'_> {
    /// Returns a task with nothing but an agent: no dependencies, no push, no retry.
    fn task(&self, argv: Vec<String>) -> TaskSubmission {
        let repository = self.repository.display().to_string();
        let agent = Agent::command(argv);
        TaskSubmission {
            max_retries: Some(0),
            ..TaskSubmission::new("bench".to_owned(), "Take no time.".to_owned(), repository, agent)
        }
    }

    /// Returns a task whose agent does nothing.
    pub(crate) fn no_op(&self) -> TaskSubmission {
        self.task(vec!["true".to_owned()])
    }

    /// Measures the single floors, for a half of the samples.
    async fn measure_half(&self, floors: &mut Floors) -> anyhow::Result<()> {
        floors.measure_latencies(self.progress, &self.api, &self.servers).await?;
        floors.add(Floor::RedisRoundTrip, servers::redis_round_trips(self.progress, &self.servers).await?);
        self.measure_processes(floors).await
    }

    /// Measures the floors that processes set, for a half of the samples.
    pub(crate) async fn measure_processes(&self, floors: &mut Floors) -> anyhow::Result<()> {
        floors.add(Floor::WorktreeAdd, processes::worktrees(self).await?);
        floors.add(Floor::Spawn, processes::spawns(self).await?);
        Ok(())
    }

    async fn measure_bare_half(&self, floors: &mut Floors) -> anyhow::Result<()> {
        floors.add(Floor::BareTasks, bare_tasks::run(self).await?);
        Ok(())
    }
}

/// Measures all that is asked for, over a stack that is left running.
pub(crate) async fn measure(
    options: &Options,
    scratch: &Scratch,
    progress: &Progress,
    running: &mut Option<Stack>,
) -> anyhow::Result<Part> {
    let repository = repository::make(scratch).await?;
    let (workers, slots) = (options.workers.get(), options.slots.get());
    let stack = running.insert(Stack::spawn(options, scratch, &Shape::of_agents(workers, slots))?);
    let api = stack.ready(workers, progress).await?;
    let servers = stack.servers()?;
    let bench = Bench { options, scratch, progress, repository, api, servers };
    warm_up::run(&bench).await?;
    let (mut floors, mut rows) = (Floors::default(), Vec::new());
    // Half before and half after, so that a machine that changes its pace on the way does not skew the ratios.
    bench.measure_half(&mut floors).await?;
    if options.wants("agent-start") {
        rows.extend(latency::measure(&bench).await?);
    }
    if options.wants("life") {
        rows.extend(life::measure(&bench).await?);
    }
    if options.wants("throughput") {
        bench.measure_bare_half(&mut floors).await?;
        rows.extend(throughput::measure(&bench).await?);
        bench.measure_bare_half(&mut floors).await?;
    }
    bench.measure_half(&mut floors).await?;
    let files = repository::FILES;
    let about = format!(
        "Whole tasks: {workers} workers with {slots} slots each, {} clients, a repository of {files} files.",
        options.clients
    );
    Ok(Part { title: "Agents", about, floors, rows })
}
