//! All Redis. The queue is a hint: everything in it can be rebuilt from PostgreSQL, and losing it costs latency alone.
//!
//! It gives what a table is slow at: ordered dispatch, instant wake-ups, control messages, and word of new events.
//! Atomic actions are Lua scripts, one file each, in `lua/`; key names come from [`keys`] alone.

mod dispatch;
mod inbox;
pub mod keys;
mod live;
mod wake;

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client};

use crate::telemetry::names;

pub use inbox::{Inbox, InboxMessage};
pub use keys::Keys;
pub use live::{LiveEvents, Subscription};
pub use wake::WakeCalls;

/// How long Redis may take to answer before the hint is given up.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);

/// The queue: one shared connection to Redis that mends itself. Clones share it.
#[derive(Clone)]
pub struct Queue {
    client: Client,
    connection: ConnectionManager,
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
    /// The URL cannot be read.
    pub fn open(url: &str, prefix: &str) -> Result<Self, QueueError> {
        let client = Client::open(url)?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_connection_timeout(Some(RESPONSE_TIMEOUT))
            .set_min_delay(Duration::from_millis(20))
            .set_max_delay(Duration::from_millis(500))
            .set_number_of_retries(1);
        let connection = client.get_connection_manager_lazy(config)?;
        Ok(Self { client, connection, keys: Keys::new(prefix) })
    }

    /// Asks Redis for a sign of life.
    ///
    /// # Errors
    /// There is none.
    pub async fn ping(&self) -> Result<(), QueueError> {
        let mut connection = self.connection.clone();
        redis::cmd("PING").query_async::<()>(&mut connection).await?;
        Ok(())
    }

    /// Opens a connection of its own for commands that block up to `block`.
    async fn blocking_connection(&self, block: Duration) -> Result<MultiplexedConnection, QueueError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(RESPONSE_TIMEOUT))
            .set_response_timeout(Some(block + RESPONSE_TIMEOUT));
        Ok(self.client.get_multiplexed_async_connection_with_config(&config).await?)
    }
}
