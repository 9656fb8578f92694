//! Calls that wake the leading scheduler: which tasks have just ended.

use std::time::Duration;

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::{Queue, QueueError};
use crate::domain::TaskId;

/// How many calls are kept while no scheduler listens. Older ones are made up for by its periodic sweep.
const MAX_CALLS: isize = 10_000;
/// How many calls are taken at once.
const MAX_BATCH: usize = 1_000;

/// The scheduler's end. It has a connection of its own, because waiting blocks.
pub struct WakeCalls {
    queue: Queue,
    connection: Option<MultiplexedConnection>,
}

impl WakeCalls {
    /// Waits up to `patience` for calls, and returns all that have come: the tasks that ended.
    ///
    /// # Errors
    /// Redis is away; the next call connects anew.
    pub async fn next(&mut self, patience: Duration) -> Result<Vec<TaskId>, QueueError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.queue.blocking_connection(patience).await?,
        };
        let key = self.queue.keys.wake();
        let first: Option<(String, String)> = connection.brpop(&key, patience.as_secs_f64()).await?;
        let mut calls: Vec<String> = first.into_iter().map(|(_key, id)| id).collect();
        if !calls.is_empty() {
            let count = std::num::NonZeroUsize::new(MAX_BATCH);
            let more: Option<Vec<String>> = connection.rpop(&key, count).await?;
            calls.extend(more.unwrap_or_default());
        }
        self.connection = Some(connection);
        Ok(calls.iter().filter_map(|id| id.parse().ok()).collect())
    }
}

impl Queue {
    /// Opens the scheduler's end.
    #[must_use]
    pub fn wake_calls(&self) -> WakeCalls {
        WakeCalls { queue: self.clone(), connection: None }
    }

    /// Tells the leading scheduler that a task has ended.
    ///
    /// # Errors
    /// Redis is away. The scheduler finds out at its next sweep.
    pub async fn scheduler_wake(&self, ended: TaskId) -> Result<(), QueueError> {
        let key = self.keys.wake();
        redis::pipe()
            .lpush(&key, ended.to_string())
            .ignore()
            .ltrim(&key, 0, MAX_CALLS - 1)
            .ignore()
            .query_async::<()>(&mut self.connection.clone())
            .await?;
        Ok(())
    }
}
