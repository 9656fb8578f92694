//! What is left behind after everything was told to end.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use makima_shared::domain::TaskId;
use tokio::time::{Instant, sleep};

use super::{History, watch};
use crate::stack::Stack;
use crate::{processes, remote};

/// What an ended attempt still needs to clear up behind it.
const GONE_WITHIN: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a run has left behind, each a list of what should not be there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leftovers {
    pub(crate) worktrees: Vec<String>,
    pub(crate) processes: Vec<String>,
    pub(crate) refs: Vec<String>,
    pub(crate) redis_keys: Vec<String>,
    pub(crate) idle_transactions: Vec<String>,
}

/// Waits a while for the processes and workspaces of ended tasks to go, and returns those that do not. Workers still run,
/// so nothing but the end of its own task can have cleared a leftover away.
pub(crate) async fn left_by_ended_tasks(stack: &Stack) -> Leftovers {
    let give_up = Instant::now() + GONE_WITHIN;
    loop {
        let processes = processes::with_environment(&agents_mark(stack));
        let lives = data_dirs(stack).into_iter().flat_map(|worker| inside(&worker.join("work")));
        let worktrees: Vec<_> = lives.flat_map(|life| workspaces(Path::new(&life))).collect();
        if processes.is_empty() && worktrees.is_empty() || Instant::now() > give_up {
            return Leftovers { processes, worktrees, ..Leftovers::default() };
        }
        sleep(LOOK_EVERY).await; // why: nothing tells when they are gone
    }
}

/// Lists the workspaces that tasks had in a life of a worker. Those that stand ready have had no task yet.
fn workspaces(life: &Path) -> Vec<String> {
    let others = ["lock", "ready", "kept"].map(|name| life.join(name).display().to_string());
    let mut workspaces = inside(life);
    workspaces.retain(|path| !others.contains(path));
    workspaces.extend(inside(&life.join("kept")));
    workspaces
}

/// The entry that all agents of this run have in their environment.
fn agents_mark(stack: &Stack) -> String {
    format!("CHAOS_WITNESS={}", stack.scratch.path().display())
}

fn data_dirs(stack: &Stack) -> Vec<PathBuf> {
    stack.workers.iter().map(|worker| stack.scratch.worker(worker.role.name())).collect()
}

impl Leftovers {
    /// Puts what was found at two times together.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.worktrees.extend(other.worktrees);
        self.processes.extend(other.processes);
        self.refs.extend(other.refs);
        self.redis_keys.extend(other.redis_keys);
        self.idle_transactions.extend(other.idle_transactions);
        self
    }
}

/// Looks after the roles have ended. Servers still run.
pub(crate) async fn look_for_leftovers(
    stack: &Stack,
    histories: &HashMap<TaskId, History>,
) -> anyhow::Result<Leftovers> {
    let workers = data_dirs(stack);
    let mut processes = processes::with_environment(&agents_mark(stack));
    processes.extend(processes::with_argument(&stack.scratch.path().join("workers").display().to_string()));
    Ok(Leftovers {
        worktrees: workers.iter().flat_map(|worker| inside(&worker.join("work"))).collect(),
        processes,
        refs: temporary_refs(stack, &workers).await?,
        redis_keys: keys_of_dead_tasks(stack, histories).await?,
        idle_transactions: idle_transactions(stack).await?,
    })
}

fn inside(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().display().to_string()).collect()
}

/// Finds refs that no result is on at the remote, and refs that no base is on in the workers' copies.
async fn temporary_refs(stack: &Stack, workers: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let mut found: Vec<String> = stack.remote.refs().await?.into_keys().collect();
    found.retain(|name| !name.starts_with("refs/heads/makima/"));
    for copy in
        workers.iter().flat_map(|worker| inside(&worker.join("cache"))).filter(|path| path.ends_with(".git"))
    {
        let refs = remote::refs(Path::new(&copy)).await?;
        found.extend(
            refs.into_keys()
                .filter(|name| !name.starts_with("refs/makima/"))
                .map(|name| format!("{copy} {name}")),
        );
    }
    Ok(found)
}

/// Finds keys that stay for good and name a task that has ended, in themselves or in what they hold.
async fn keys_of_dead_tasks(
    stack: &Stack,
    histories: &HashMap<TaskId, History>,
) -> anyhow::Result<Vec<String>> {
    let mut connection = stack.redis().await?;
    let dead: Vec<_> = histories.values().filter(|history| history.task.status.is_terminal()).collect();
    let mut found = Vec::new();
    for key in watch::keys(&mut connection).await? {
        let expires_ms: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut connection).await?;
        if expires_ms >= 0 {
            continue;
        }
        let members = watch::members_of(&mut connection, &key).await?;
        for history in &dead {
            let id = history.task.id.to_string();
            if key.contains(&id) || members.iter().any(|member| member.contains(&id)) {
                found.push(format!(
                    "{key} names {id} ({}), which is {}",
                    history.task.name, history.task.status
                ));
            }
        }
    }
    Ok(found)
}

async fn idle_transactions(stack: &Stack) -> anyhow::Result<Vec<String>> {
    let idle = sqlx::query_scalar(
        "SELECT application_name || ': ' || left(query, 100) FROM pg_stat_activity
         WHERE state LIKE 'idle in transaction%' AND state_change < now() - interval '1 second'",
    );
    Ok(idle.fetch_all(&stack.pool).await?)
}
