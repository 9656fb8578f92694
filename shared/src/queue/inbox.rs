//! A worker's inbox: one list carries the bell for new tasks and the word to stop one.
//!
//! A list rather than a channel, because it keeps what comes in while the worker reconnects.

use std::time::Duration;

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::{Queue, QueueError};
use crate::domain::{Epoch, TaskId, WorkerId};
use crate::store::OpenAttempt;

/// A message for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboxMessage {
    /// There may be a task to claim.
    Claim,
    /// This attempt is over.
    Stop(OpenAttempt),
}

impl InboxMessage {
    fn parse(text: &str) -> Option<Self> {
        if text == "claim" {
            return Some(Self::Claim);
        }
        let (task, epoch) = text.strip_prefix("stop ")?.split_once(' ')?;
        Some(Self::Stop(OpenAttempt {
            task_id: task.parse().ok()?,
            epoch: Epoch::from(epoch.parse::<i64>().ok()?),
        }))
    }
}

/// The reading end of a worker's inbox. It has a connection of its own, because reading blocks.
pub struct Inbox {
    queue: Queue,
    key: String,
    connection: Option<MultiplexedConnection>,
}

impl Inbox {
    /// Waits up to `patience` for a message; `None` if none came.
    ///
    /// # Errors
    /// Redis is away; the next call connects anew.
    pub async fn next(&mut self, patience: Duration) -> Result<Option<InboxMessage>, QueueError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.queue.blocking_connection(patience).await?,
        };
        let entry: Option<(String, String)> = connection.brpop(&self.key, patience.as_secs_f64()).await?;
        self.connection = Some(connection);
        Ok(entry.and_then(|(_key, text)| InboxMessage::parse(&text)))
    }
}

impl Queue {
    /// Opens a worker's inbox for reading, always with the same patience.
    #[must_use]
    pub fn inbox(&self, worker: WorkerId) -> Inbox {
        Inbox { queue: self.clone(), key: self.keys.inbox(worker), connection: None }
    }

    /// Tells a worker that an attempt of its is over.
    ///
    /// # Errors
    /// Redis is away. The worker finds out by itself at its next beat.
    pub async fn worker_stop(&self, worker: WorkerId, task: TaskId, epoch: Epoch) -> Result<(), QueueError> {
        let key = self.keys.inbox(worker);
        redis::pipe()
            .lpush(&key, format!("stop {task} {epoch}"))
            .ignore()
            .pexpire(&key, 60_000)
            .ignore()
            .query_async::<()>(&mut self.connection.clone())
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_back_and_noise_is_not() {
        let task = TaskId::new();
        let stop = InboxMessage::Stop(OpenAttempt { task_id: task, epoch: Epoch::from(7) });
        assert_eq!(InboxMessage::parse(&format!("stop {task} 7")), Some(stop));
        assert_eq!(InboxMessage::parse("claim"), Some(InboxMessage::Claim));
        for noise in ["", "stop", "stop x 1", "claims"] {
            assert_eq!(InboxMessage::parse(noise), None);
        }
    }
}
