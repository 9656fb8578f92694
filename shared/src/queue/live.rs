//! Word of new events, for those who follow a task.
//!
//! The channel carries no events: who follows a task reads them from PostgreSQL, by their numbers, and so has neither
//! gap nor repeat whatever Redis does. One subscribed connection serves all followers of a process; it is opened with
//! the first follower and mends itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::RedisResult;
use redis::aio::PubSubSink;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Queue, QueueError, RESPONSE_TIMEOUT};
use crate::domain::TaskId;

/// How long the hub waits before it tries to reach Redis again.
const RECONNECT_DELAY: Duration = Duration::from_millis(500);

type Channels = Arc<Mutex<HashMap<String, Channel>>>;

/// A channel that somebody follows.
#[derive(Default)]
struct Channel {
    news: watch::Sender<u64>,
    /// Counted here, under the lock, because a receiver outlives the drop of its subscription by a moment.
    followers: usize,
}

/// Followers of tasks, and the one connection behind them.
#[derive(Clone)]
pub struct LiveEvents {
    queue: Queue,
    channels: Channels,
    changed: watch::Sender<u64>,
}

/// One follower. Dropping it ends the subscription.
pub struct Subscription {
    news: watch::Receiver<u64>,
    channel: String,
    hub: LiveEvents,
}

impl Subscription {
    /// Waits for word of new events, which may have come since the last call. Gives up after `patience`: word can be lost
    /// while Redis is away, so a follower looks by itself now and then.
    pub async fn changed(&mut self, patience: Duration) {
        // Neither a timeout nor a hub that has ended is an error here: the follower looks either way.
        let _ = tokio::time::timeout(patience, self.news.changed()).await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut channels = self.hub.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(channel) = channels.get_mut(&self.channel) else { return };
        channel.followers -= 1;
        if channel.followers == 0 {
            channels.remove(&self.channel);
            self.hub.changed.send_modify(|count| *count += 1);
        }
    }
}

impl LiveEvents {
    /// Makes a hub without followers. [`LiveEvents::run`] must run beside it.
    #[must_use]
    pub fn new(queue: Queue) -> Self {
        Self { queue, channels: Channels::default(), changed: watch::Sender::new(0) }
    }

    /// Starts to follow a task. Whatever is written after this call is told.
    #[must_use]
    pub fn follow(&self, task: TaskId) -> Subscription {
        let name = self.queue.keys.events(task);
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = channels.entry(name.clone()).or_default();
        channel.followers += 1;
        let news = channel.news.subscribe();
        self.changed.send_modify(|count| *count += 1);
        Subscription { news, channel: name, hub: self.clone() }
    }

    /// Keeps the connection and spreads the word until the token is cancelled.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut changed = self.changed.subscribe();
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = shutdown.cancelled() => {}
                result = self.serve(&mut changed) => {
                    if let Err(error) = result {
                        tracing::debug!(error = %error.0, "live events: Redis is away");
                    }
                    tokio::time::sleep(RECONNECT_DELAY).await; // why: back-off before the next connection
                }
            }
        }
    }

    async fn serve(&self, changed: &mut watch::Receiver<u64>) -> Result<(), QueueError> {
        use futures_util::StreamExt;

        let client = self.queue.connection.client().await?;
        let (mut sink, mut messages) = answered(client.get_async_pubsub()).await?.split();
        let mut subscribed = Vec::new();
        changed.mark_changed();
        loop {
            tokio::select! {
                _ = changed.changed() => self.adjust(&mut sink, &mut subscribed).await?,
                message = messages.next() => match message {
                    Some(message) => self.tell(message.get_channel_name()),
                    None => return Ok(()),
                },
            }
        }
    }

    /// Makes the subscriptions of the connection those of the followers. A new one is told at once, because what was
    /// published before Redis knew of it is lost.
    async fn adjust(&self, sink: &mut PubSubSink, subscribed: &mut Vec<String>) -> Result<(), QueueError> {
        let wanted: Vec<String> =
            self.channels.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        for channel in subscribed.iter().filter(|channel| !wanted.contains(channel)) {
            answered(sink.unsubscribe(channel)).await?;
        }
        for channel in wanted.iter().filter(|channel| !subscribed.contains(channel)) {
            answered(sink.subscribe(channel)).await?;
            self.tell(channel);
        }
        *subscribed = wanted;
        Ok(())
    }

    fn tell(&self, channel: &str) {
        if let Some(channel) = self.channels.lock().unwrap_or_else(PoisonError::into_inner).get(channel) {
            channel.news.send_modify(|count| *count += 1);
        }
    }
}

/// Gives a call on the subscribed connection up after a while, for which redis-rs sets no limit.
async fn answered<T>(call: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let limited = tokio::time::timeout(RESPONSE_TIMEOUT, call).await;
    limited.unwrap_or_else(|_elapsed| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

impl Queue {
    /// Spreads the word that a task has new events.
    ///
    /// # Errors
    /// Redis is away. Followers look by themselves now and then.
    pub async fn events_announce(&self, task: TaskId, sequence: i64) -> Result<(), QueueError> {
        self.events_announce_all(&[(task, sequence)]).await
    }

    /// Spreads the word that each of these tasks has new events, up to the number beside it.
    ///
    /// # Errors
    /// As [`Queue::events_announce`].
    pub async fn events_announce_all(&self, news: &[(TaskId, i64)]) -> Result<(), QueueError> {
        if news.is_empty() {
            return Ok(());
        }
        let mut publish = redis::pipe();
        for (task, sequence) in news {
            publish.publish(self.keys.events(*task), *sequence).ignore();
        }
        publish.query_async::<()>(&mut self.connection.clone()).await?;
        Ok(())
    }
}
