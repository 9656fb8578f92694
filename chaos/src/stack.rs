//! Everything that a run breaks: servers, roles, the ways between them, and a git remote.
//!
//! ```text
//!  api          ── way ──┐
//!  scheduler-1, -2 way ──┼── PostgreSQL
//!  worker-1 ..  ── way ──┴── Redis
//! ```

mod base;
mod role;
mod settings;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use futures_util::future::join_all;
use nix::unistd::Pid;
use sqlx::PgPool;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

pub(crate) use role::Role;
pub(crate) use settings::{LEADER_LEASE, WORKER_LEASE};

use crate::client::Client;
use crate::options::Fleet;
use crate::proxy::Proxy;
use crate::remote::Remote;
use crate::scratch::Scratch;
use crate::servers::{self, Servers};
use base::Base;

/// Whose tasks a run submits. Two owners, so that rows can be mixed up.
pub(crate) const OWNERS: [&str; 2] = ["red", "blue"];
const SCHEDULERS: usize = 2;
/// A stack that is not up by then never will be.
const UP_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A role and its ways to the servers.
pub(crate) struct Member {
    pub(crate) role: Role,
    pub(crate) postgres: Proxy,
    pub(crate) redis: Proxy,
    /// Held while a fault of some length lasts on it, so that the end of one is not the end of another.
    pub(crate) lasting_fault: Mutex<()>,
}

/// A running stack.
pub(crate) struct Stack {
    pub(crate) scratch: Arc<Scratch>,
    pub(crate) servers: Servers,
    /// Straight to PostgreSQL, for the run itself.
    pub(crate) pool: PgPool,
    pub(crate) redis_url: String,
    pub(crate) api: Member,
    pub(crate) schedulers: Vec<Member>,
    pub(crate) workers: Vec<Member>,
    pub(crate) remote: Remote,
    pub(crate) client: Client,
}

impl Stack {
    /// Starts everything and waits until it takes tasks.
    pub(crate) async fn start(scratch: Arc<Scratch>, fleet: &Fleet) -> anyhow::Result<Self> {
        let program = fleet.makima()?;
        let remote = Remote::make(scratch.path()).await?;
        let servers = Servers::start(scratch.path()).await?;
        let (pool, redis_socket) =
            (servers.postgres.lock().await.pool(), servers.redis.lock().await.socket());
        let base = Base { program, scratch: &scratch, servers: &servers, listen: free_address()? };
        let keys = base.prepare_database().await?;
        let api = base.member("api", "api").await?;
        let (mut schedulers, mut workers) = (Vec::new(), Vec::new());
        for number in 1..=SCHEDULERS {
            schedulers.push(base.member(&format!("scheduler-{number}"), "scheduler").await?);
        }
        for number in 1..=fleet.workers.get() {
            workers.push(base.worker(&format!("worker-{number}"), fleet.slots.get()).await?);
        }
        let client = Client::new(&base.listen, &keys)?;
        let redis_url = servers::redis_url(&redis_socket);
        let stack = Self { pool, redis_url, api, schedulers, workers, remote, client, servers, scratch };
        stack.ready().await?;
        Ok(stack)
    }

    async fn ready(&self) -> anyhow::Result<()> {
        let give_up = Instant::now() + UP_WITHIN;
        loop {
            let alive = sqlx::query_scalar("SELECT count(*) FROM workers WHERE ended_at IS NULL");
            let alive: i64 = alive.fetch_one(&self.pool).await.unwrap_or(0);
            if self.client.is_ready().await && alive >= i64::try_from(self.workers.len())? {
                return Ok(());
            }
            if Instant::now() > give_up {
                bail!(
                    "the stack is not up within {} s; the last words of its API:\n{}",
                    UP_WITHIN.as_secs(),
                    self.api.role.last_words()
                );
            }
            sleep(LOOK_EVERY).await; // why: nothing tells when all are there
        }
    }

    /// Returns all roles.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.api).chain(&self.schedulers).chain(&self.workers)
    }

    /// Tells all roles to end, in order: workers hand back what they have while the others are there to hear of it.
    pub(crate) async fn end_roles(&self) {
        for workers in [&self.workers, &self.schedulers] {
            join_all(workers.iter().map(|member| member.role.end())).await;
        }
        self.api.role.end().await;
    }

    /// Returns the ends of roles that nobody asked for.
    pub(crate) fn findings(&self) -> Vec<String> {
        self.members().flat_map(|member| member.role.findings()).collect()
    }

    /// Counts how often roles were started again.
    pub(crate) fn restarts(&self) -> u32 {
        self.members().map(|member| member.role.lives().saturating_sub(1)).sum()
    }

    /// Returns the place of the scheduler that leads, as the schedulers' own logs tell.
    pub(crate) fn leader(&self) -> Option<usize> {
        let leads = |role: &Role| role.pid().is_some_and(|pid| says_that_it_leads(&role.log(), pid));
        self.schedulers.iter().position(|scheduler| leads(&scheduler.role))
    }

    /// Returns a connection to Redis for the run itself.
    pub(crate) async fn redis(&self) -> anyhow::Result<redis::aio::MultiplexedConnection> {
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(2)))
            .set_response_timeout(Some(Duration::from_secs(2)));
        let client = redis::Client::open(self.redis_url.as_str())?;
        Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// Counts the stale writes of workers that PostgreSQL has refused: the one place that knows how. It reads the
    /// answers that pass on the ways, so the roles need not tell; a batch of writes of which some were taken does not
    /// count.
    pub(crate) fn stale_writes_refused(&self) -> u64 {
        self.workers.iter().map(|worker| worker.postgres.refused()).sum()
    }
}

/// The last of a scheduler's words about the lead, in the life that it lives now. One that was started a moment ago has
/// said nothing yet, and its log ends with the words of the life before.
fn says_that_it_leads(log: &str, pid: Pid) -> bool {
    let start = log.lines().rev().find(|line| line.contains(" starts role="));
    if !start.is_some_and(|line| line.ends_with(&format!(" pid={pid}"))) {
        return false;
    }
    let last = log.lines().rev().find_map(|line| {
        let is_over = line.contains("no longer leading") || line.contains(" starts role=");
        let is_there = line.contains(" leading ");
        (is_over || is_there).then_some(is_there && !is_over)
    });
    last.unwrap_or(false)
}

/// Returns a loopback address that is free at the moment. The API takes it up again after each of its deaths.
fn free_address() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_known_by_its_last_words() {
        let started = "12:00 INFO starts role=\"scheduler\" pid=7\n";
        let leading = "12:01 INFO leading scheduler.id=1\n12:02 WARN the next one starts afresh\n";
        let over = "12:03 INFO no longer leading scheduler.id=1\n";
        let leads = |log: String| says_that_it_leads(&log, Pid::from_raw(7));
        assert!(leads(format!("{started}{leading}")));
        assert!(!leads(format!("{started}{leading}{over}")));
        assert!(!leads(format!("{started}{leading}{started}")));
        assert!(!says_that_it_leads(&format!("{started}{leading}"), Pid::from_raw(8)), "a life before this");
    }
}
