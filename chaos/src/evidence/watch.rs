//! Watches during a run whether dispatch knows every queued task.
//!
//! How the queue is laid out in Redis is its own affair: a task is known if any sorted set, list, set or hash below the
//! prefix has its id as a member or a field.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use makima_shared::domain::TaskId;
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::stack::Stack;

/// For so long a queued task may be unknown to dispatch.
const UNKNOWN_AT_MOST: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// When each queued task was first found unknown, with when it was queued.
type Unknown = HashMap<(TaskId, DateTime<Utc>), Instant>;

/// What the watch has found.
#[derive(Clone, Default)]
pub(crate) struct DispatchWatch {
    found: Arc<Mutex<Vec<String>>>,
}

impl DispatchWatch {
    /// Watches until it is told to stop. While a server is away, nothing is known to be missing.
    pub(crate) async fn run(self, stack: &Stack, over: &CancellationToken) {
        let mut unknown = Unknown::new();
        while over.run_until_cancelled(sleep(LOOK_EVERY)).await.is_some() {
            // why: nothing tells what is missing
            match self.look(stack, &unknown).await {
                Ok(now) => unknown = now,
                Err(_away) => unknown.clear(),
            }
        }
    }

    /// Returns the tasks that were queued too long without dispatch knowing them.
    pub(crate) fn found(&self) -> Vec<String> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn look(&self, stack: &Stack, before: &Unknown) -> anyhow::Result<Unknown> {
        let queued: Vec<(TaskId, DateTime<Utc>)> =
            sqlx::query_as("SELECT id, queued_at FROM tasks WHERE status = 'queued'")
                .fetch_all(&stack.pool)
                .await?;
        let known = members(&mut stack.redis().await?).await?;
        let mut unknown = Unknown::new();
        for task in queued.into_iter().filter(|(id, _)| !known.contains(&id.to_string())) {
            let since = before.get(&task).copied().unwrap_or_else(Instant::now);
            if since.elapsed() > UNKNOWN_AT_MOST {
                let words = format!("task {} was queued and unknown to dispatch for 30 s", task.0);
                let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
                if !found.contains(&words) {
                    found.push(words);
                }
            }
            unknown.insert(task, since);
        }
        Ok(unknown)
    }
}

/// Returns every member and field of every collection in Redis.
pub(super) async fn members(connection: &mut MultiplexedConnection) -> anyhow::Result<HashSet<String>> {
    let mut members = HashSet::new();
    for key in keys(connection).await? {
        members.extend(members_of(connection, &key).await?);
    }
    Ok(members)
}

/// Lists all keys.
pub(super) async fn keys(connection: &mut MultiplexedConnection) -> anyhow::Result<Vec<String>> {
    Ok(redis::cmd("KEYS").arg("*").query_async(connection).await?)
}

/// Returns the members and fields of one collection; nothing for anything else.
pub(super) async fn members_of(
    connection: &mut MultiplexedConnection,
    key: &str,
) -> anyhow::Result<Vec<String>> {
    let kind: String = redis::cmd("TYPE").arg(key).query_async(connection).await?;
    let command = match kind.as_str() {
        "zset" => redis::cmd("ZRANGE").arg(key).arg(0).arg(-1).to_owned(),
        "list" => redis::cmd("LRANGE").arg(key).arg(0).arg(-1).to_owned(),
        "set" => redis::cmd("SMEMBERS").arg(key).to_owned(),
        "hash" => redis::cmd("HKEYS").arg(key).to_owned(),
        _ => return Ok(Vec::new()),
    };
    Ok(command.query_async(connection).await?)
}
