//! A worker's sign of life: a subscription to a channel of its own, on which nobody ever says anything.
//!
//! The system closes a dead process's connections, and Redis forgets their subscriptions at that moment, so whoever asks
//! for a channel's subscribers learns of a death long before any lease ends. That is a hint and no more: connections
//! break for other reasons too, all of them at once when Redis restarts.

use std::time::Duration;

use futures_util::StreamExt;
use redis::Client;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::time::{sleep, timeout};

use super::{Queue, QueueError, RESPONSE_TIMEOUT};
use crate::domain::WorkerId;

/// How many channels are asked for at once.
const CHANNELS_PER_CALL: usize = 500;
/// How often a connection is tried that may have died without a word, and how long its answer may take: longer than a
/// Redis that is busy for a while.
const PING_PERIOD: Duration = Duration::from_secs(10);

/// The sign of life of one worker. It lasts as long as its connection.
pub struct Presence {
    sink: PubSubSink,
    messages: PubSubStream,
    queue: Queue,
    /// Where it is, which is where the queue was then.
    node: String,
}

impl Presence {
    /// Waits until the connection is gone, or the queue is elsewhere: nobody asks here any more then.
    pub async fn broken(mut self) {
        loop {
            tokio::select! {
                message = self.messages.next() => if message.is_none() { return },
                () = sleep(PING_PERIOD) => { // why: the period of the pings
                    let pong = timeout(PING_PERIOD, self.sink.ping::<redis::Value>()).await;
                    if !matches!(pong, Ok(Ok(_))) || self.is_elsewhere().await {
                        return;
                    }
                }
            }
        }
    }
}

impl Presence {
    /// Tells whether another node of a cluster serves the queue by now.
    async fn is_elsewhere(&self) -> bool {
        self.queue.connection.client().await.is_ok_and(|client| node_of(&client) != self.node)
    }
}

fn node_of(client: &Client) -> String {
    client.get_connection_info().addr().to_string()
}

impl Queue {
    /// Subscribes a worker to its channel, on a connection of its own.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn presence_open(&self, worker: WorkerId) -> Result<Presence, QueueError> {
        let opening = async {
            let client = self.connection.client().await?;
            let (mut sink, messages) = client.get_async_pubsub().await?.split();
            sink.subscribe(self.keys.alive(worker)).await?;
            Ok(Presence { sink, messages, node: node_of(&client), queue: self.clone() })
        };
        let late = |_elapsed| redis::RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        timeout(RESPONSE_TIMEOUT * 2, opening).await.map_err(late)?
    }

    /// Returns those of the given workers that are subscribed to their channels nowhere.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn workers_absent(&self, workers: &[WorkerId]) -> Result<Vec<WorkerId>, QueueError> {
        let mut absent = Vec::new();
        for some in workers.chunks(CHANNELS_PER_CALL) {
            let channels: Vec<String> = some.iter().map(|worker| self.keys.alive(*worker)).collect();
            let counts = self.subscribers(&channels).await?;
            absent
                .extend(some.iter().zip(counts).filter(|(_, count)| *count == 0).map(|(worker, _)| *worker));
        }
        Ok(absent)
    }

    /// Counts the subscribers of each channel. A node counts its own clients alone; in a cluster all of a queue's workers
    /// subscribe where the queue's slot is, which is where this asks.
    async fn subscribers(&self, channels: &[String]) -> Result<Vec<u64>, QueueError> {
        let counts: Vec<(String, u64)> = redis::cmd("PUBSUB")
            .arg("NUMSUB")
            .arg(channels)
            .query_async(&mut self.connection.clone())
            .await?;
        Ok(counts.into_iter().map(|(_channel, count)| count).collect())
    }
}
