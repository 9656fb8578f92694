//! Calls that wake the leading scheduler: there are children to be told of a parent's end, or slots to be given.

use std::time::Duration;

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::{Queue, QueueError};

/// How many calls are kept while no scheduler listens. Older ones are made up for by its periodic sweep.
const MAX_CALLS: isize = 10_000;
/// How many calls are taken at once.
const MAX_BATCH: usize = 1_000;

/// What the scheduler shall look at. It finds what there is to do by itself; a call only says that there is something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WakeCall {
    /// Tasks ended whose children are to be told.
    Settle,
    /// Slots became free, or are wanted.
    Slots,
}

impl WakeCall {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Settle => "settle",
            Self::Slots => "slots",
        }
    }

    /// Reads a call. The version before sent the id of a task that had ended.
    fn parse(text: &str) -> Self {
        if text == Self::Slots.as_str() { Self::Slots } else { Self::Settle }
    }
}

/// The scheduler's end. It has a connection of its own, because waiting blocks.
pub struct WakeCalls {
    queue: Queue,
    connection: Option<MultiplexedConnection>,
}

impl WakeCalls {
    /// Waits up to `patience` for calls, and returns all that have come.
    ///
    /// # Errors
    /// Redis is away; the next call connects anew.
    pub async fn next(&mut self, patience: Duration) -> Result<Vec<WakeCall>, QueueError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.queue.blocking_connection(patience).await?,
        };
        let key = self.queue.keys.wake();
        let first: Option<(String, String)> = connection.brpop(&key, patience.as_secs_f64()).await?;
        let mut calls: Vec<String> = first.into_iter().map(|(_key, call)| call).collect();
        if !calls.is_empty() {
            let count = std::num::NonZeroUsize::new(MAX_BATCH);
            let more: Option<Vec<String>> = connection.rpop(&key, count).await?;
            calls.extend(more.unwrap_or_default());
        }
        self.connection = Some(connection);
        Ok(calls.iter().map(|call| WakeCall::parse(call)).collect())
    }
}

impl Queue {
    /// Opens the scheduler's end.
    #[must_use]
    pub fn wake_calls(&self) -> WakeCalls {
        WakeCalls { queue: self.clone(), connection: None }
    }

    /// Calls the leading scheduler.
    ///
    /// # Errors
    /// Redis is away. The scheduler finds out at its next sweep.
    pub async fn scheduler_wake(&self, call: WakeCall) -> Result<(), QueueError> {
        let key = self.keys.wake();
        redis::pipe()
            .lpush(&key, call.as_str())
            .ignore()
            .ltrim(&key, 0, MAX_CALLS - 1)
            .ignore()
            .query_async::<()>(&mut self.connection.clone())
            .await?;
        Ok(())
    }
}
