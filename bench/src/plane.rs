//! The plane that moves tasks, without agents: store, queue, API, scheduler, and workers whose runner returns at once.
//!
//! Everything else is real: processes of their own, HTTP, PostgreSQL with fsync, Redis with its append-only file, events
//! and history as always. Each measurement takes its floors right before and after, starts the workers that it needs, and
//! leaves empty tables behind.

mod backlog;
mod bulk;
mod chain;
mod claim;
mod fan_in;
mod fan_out;
mod idle_fleet;
mod kill;
mod memory;
pub(crate) mod null_worker;
pub(crate) mod processes;
mod processor_time;
mod start;
mod started;
mod wipe;
mod workers;

use std::time::{Duration, SystemTime};

use anyhow::Context;
use chrono::{DateTime, Utc};
use makima_shared::domain::{Agent, OwnerId, TaskId, TaskSubmission};
use makima_shared::queue::{Keys, Queue};
use makima_shared::store::Store;
use redis::aio::MultiplexedConnection;
use sqlx::PgConnection;
use sqlx::types::Uuid;

use crate::client::Api;
use crate::floors::Floors;
use crate::options::Options;
use crate::progress::Progress;
use crate::report::{Part, Row};
use crate::scratch::Scratch;
use crate::stack::{QUEUE, Servers, Shape, Stack};

/// The names of the measurements, for `--only`.
pub(crate) const NAMES: [&str; 10] =
    ["memory", "start", "chain", "bulk", "fan-out", "fan-in", "claim", "wipe", "kill", "idle-fleet"];

/// A running stack without workers, and the means to measure it.
struct Plane<'a> {
    options: &'a Options,
    scratch: &'a Scratch,
    progress: &'a Progress,
    api: Api,
    servers: Servers,
    store: Store,
    queue: Queue,
    /// Whose key the API's client has.
    owner: OwnerId,
    /// The process of `makima up`.
    up: u32,
}

/// The rows of a measurement, and the floors that were measured beside it.
type Measured = (Vec<Row>, Floors);

/// Measures all that is asked for, over a stack that is left running.
pub(crate) async fn measure(
    options: &Options,
    scratch: &Scratch,
    progress: &Progress,
    running: &mut Option<Stack>,
) -> anyhow::Result<Part> {
    let stack = running.insert(Stack::spawn(options, scratch, &Shape::of_plane())?);
    let api = stack.ready(0, progress).await?;
    let up = stack.pid().context("makima up has ended")?;
    let servers = stack.servers()?;
    let (store, queue) = (servers.store()?, servers.queue()?);
    let owner = store.owner_ensure("default").await?;
    let plane = Plane { options, scratch, progress, api, servers, store, queue, owner, up };
    let (mut rows, mut floors) = (Vec::new(), Floors::default());
    for name in NAMES.into_iter().filter(|name| options.wants(name)) {
        let (more, beside) = one(&plane, name).await.with_context(|| name.to_owned())?;
        rows.extend(more);
        floors.extend(beside);
        plane.reset().await?;
    }
    let about = "The plane without agents: a runner that returns at once, everything else real. Each row's floors were \
                 measured right before and after it; L = HTTP + commit + wake.";
    Ok(Part { title: "The plane", about: about.to_owned(), floors, rows })
}

async fn one(plane: &Plane<'_>, name: &str) -> anyhow::Result<Measured> {
    match name {
        "memory" => memory::measure(plane).await,
        "start" => start::measure(plane).await,
        "chain" => chain::measure(plane).await,
        "bulk" => bulk::measure(plane).await,
        "fan-out" => fan_out::measure(plane).await,
        "fan-in" => fan_in::measure(plane).await,
        "claim" => claim::measure(plane).await,
        "wipe" => wipe::measure(plane).await,
        "kill" => kill::measure(plane).await,
        "idle-fleet" => idle_fleet::measure(plane).await,
        unknown => anyhow::bail!("there is no measurement {unknown}"),
    }
}

impl Plane<'_> {
    /// Returns a task whose plan is one of [`null_worker`]'s.
    fn task(&self, plan: &str) -> TaskSubmission {
        let (name, url) = ("bench".to_owned(), "https://example.invalid/bench.git".to_owned());
        TaskSubmission::new(name, plan.to_owned(), url, Agent::command(vec!["true".to_owned()]))
    }

    /// Submits as many such tasks as are asked for, 1,000 in a request.
    async fn submit_many(&self, count: usize, task: &TaskSubmission) -> anyhow::Result<Vec<TaskId>> {
        let mut ids = Vec::with_capacity(count);
        for tasks in vec![task.clone(); count].chunks(BULK) {
            ids.extend(self.api.submit_bulk(tasks).await?);
        }
        Ok(ids)
    }

    /// Measures the floors of latencies, for a half of the samples.
    async fn latency_floors(&self, floors: &mut Floors) -> anyhow::Result<()> {
        floors.measure_latencies(self.progress, &self.api, &self.servers).await
    }

    /// Returns how many workers hold a lease.
    async fn workers_alive(&self) -> anyhow::Result<usize> {
        let alive = "SELECT count(*) FROM workers WHERE ended_at IS NULL AND lease_expires_at > now()";
        let count: i64 = sqlx::query_scalar(alive).fetch_one(&mut self.servers.connect().await?).await?;
        Ok(usize::try_from(count)?)
    }

    /// Returns how many tasks that ask for `labels` Redis knows as ready.
    async fn ready(&self, redis: &mut MultiplexedConnection, labels: &str) -> anyhow::Result<usize> {
        let lane = Keys::new(QUEUE).lane(self.owner, labels);
        Ok(redis::cmd("ZCARD").arg(lane).query_async(redis).await?)
    }

    /// Empties the tables and Redis. No workers may be running.
    async fn reset(&self) -> anyhow::Result<()> {
        let mut connection = self.servers.connect().await?;
        sqlx::query("TRUNCATE tasks, task_events CASCADE").execute(&mut connection).await?;
        redis::cmd("FLUSHALL").query_async::<()>(&mut self.servers.redis().await?).await?;
        sqlx::query("CHECKPOINT").execute(&mut connection).await?;
        Ok(())
    }
}

/// Tasks of one bulk request.
const BULK: usize = 1_000;

/// Lets PostgreSQL do now what it would do some time later: statistics, and the checkpoint.
async fn settle(connection: &mut PgConnection) -> anyhow::Result<()> {
    for statement in
        ["VACUUM ANALYZE tasks", "VACUUM ANALYZE task_events", "VACUUM ANALYZE workers", "CHECKPOINT"]
    {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Returns when the newest event was written that took one of `tasks` to a status.
async fn moved_at(connection: &mut PgConnection, tasks: &[TaskId], to: &str) -> anyhow::Result<SystemTime> {
    let ids: Vec<Uuid> = tasks.iter().map(|id| id.uuid()).collect();
    let newest = "SELECT max(created_at) FROM task_events WHERE task_id = ANY($1) AND data->>'to' = $2";
    let at: Option<DateTime<Utc>> =
        sqlx::query_scalar(newest).bind(ids).bind(to).fetch_one(connection).await?;
    Ok(at.with_context(|| format!("none of the tasks became {to}"))?.into())
}

/// Waits until `ready` says so, looking every so often.
async fn until(every: Duration, mut ready: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let look = async {
        while !ready().await? {
            tokio::time::sleep(every).await; // why: nothing tells, so one has to look
        }
        Ok(())
    };
    tokio::time::timeout(UNTIL_AT_MOST, look).await.context("it did not come about within two minutes")?
}

/// What has not come about by then never will.
const UNTIL_AT_MOST: Duration = Duration::from_secs(120);
