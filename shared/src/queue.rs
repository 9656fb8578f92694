//! All Redis. The queue is a hint: everything in it can be rebuilt from PostgreSQL, and losing it costs latency alone.
//!
//! It gives what a table is slow at: ordered dispatch, instant wake-ups, control messages, and word of new events.
//! Atomic actions are Lua scripts, one file each, in `lua/`; key names come from [`keys`] alone.

mod address;
mod allowance;
mod connection;
mod departure;
mod dispatch;
mod inbox;
pub mod keys;
mod live;
mod presence;
mod wake;

use std::time::Duration;

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;

use crate::telemetry::names;
pub use address::RedisUrlError;
pub(crate) use address::clients;
use connection::Connection;
pub use dispatch::MAX_CLAIM;
pub use inbox::{Inbox, InboxMessage};
pub use keys::Keys;
pub use live::{LiveEvents, Subscription};
pub use presence::Presence;
pub use wake::{WakeCall, WakeCalls};

/// How long Redis may take to answer before the hint is given up.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);

/// The queue: one shared connection to Redis that mends itself. Clones share it.
#[derive(Clone)]
pub struct Queue {
    connection: Connection,
    keys: Keys,
}

/// Redis did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("Redis is unavailable")]
pub struct QueueError(#[source] redis::RedisError);

impl From<redis::RedisError> for QueueError {
    fn from(error: redis::RedisError) -> Self {
        metrics::counter!(names::QUEUE_ERRORS).increment(1);
        Self(error)
    }
}

impl Queue {
    /// Opens the queue. The connection is made when it is needed, so Redis may still be down.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn open(url: &str, prefix: &str) -> Result<Self, RedisUrlError> {
        let keys = Keys::new(prefix);
        let connection = Connection::open(clients(url)?, keys.root()).map_err(RedisUrlError::Unreadable)?;
        Ok(Self { connection, keys })
    }

    /// Asks the Redis that holds the queue for a sign of life.
    ///
    /// # Errors
    /// There is none.
    pub async fn ping(&self) -> Result<(), QueueError> {
        self.connection.client().await?;
        Ok(())
    }

    /// Opens a connection of its own for commands that block up to `block`.
    async fn blocking_connection(&self, block: Duration) -> Result<MultiplexedConnection, QueueError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(RESPONSE_TIMEOUT))
            .set_response_timeout(Some(block + RESPONSE_TIMEOUT));
        let client = self.connection.client().await?;
        Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
    }
}
