//! A worker's inbox: one list carries the bell for new tasks, the word to stop one, and word of messages to agents.
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
    /// There is a message to this attempt's agent.
    Message {
        /// The attempt.
        attempt: OpenAttempt,
        /// The message's number.
        number: i32,
    },
}

impl InboxMessage {
    fn parse(text: &str) -> Option<Self> {
        if text == "claim" {
            return Some(Self::Claim);
        }
        let (verb, rest) = text.split_once(' ')?;
        let mut words = rest.split(' ');
        let attempt = OpenAttempt {
            task_id: words.next()?.parse().ok()?,
            epoch: Epoch::from(words.next()?.parse::<i64>().ok()?),
        };
        match (verb, words.next(), words.next()) {
            ("stop", None, _) => Some(Self::Stop(attempt)),
            ("message", Some(number), None) => Some(Self::Message { attempt, number: number.parse().ok()? }),
            _ => None,
        }
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
        self.worker_tell(worker, format!("stop {task} {epoch}")).await
    }

    /// Tells a worker that there is a message to an agent of its.
    ///
    /// # Errors
    /// Redis is away. The worker finds out by itself at its next beat.
    pub async fn worker_message(
        &self,
        worker: WorkerId,
        attempt: OpenAttempt,
        number: i32,
    ) -> Result<(), QueueError> {
        self.worker_tell(worker, format!("message {} {} {number}", attempt.task_id, attempt.epoch)).await
    }

    async fn worker_tell(&self, worker: WorkerId, words: String) -> Result<(), QueueError> {
        let key = self.keys.inbox(worker);
        redis::pipe()
            .lpush(&key, words)
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
        let attempt = OpenAttempt { task_id: task, epoch: Epoch::from(7) };
        let message = InboxMessage::Message { attempt, number: 3 };
        assert_eq!(InboxMessage::parse(&format!("message {task} 7 3")), Some(message));
        let (more, less) = (format!("stop {task} 7 3"), format!("message {task} 7"));
        for noise in ["", "stop", "stop x 1", "claims", &more, &less] {
            assert_eq!(InboxMessage::parse(noise), None);
        }
    }
}
