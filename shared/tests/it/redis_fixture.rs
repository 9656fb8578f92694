//! A queue of its own within the Redis of `REDIS_URL`.

use chrono::{DateTime, Utc};
use makima_shared::domain::{OwnerId, TaskId, WorkerId};
use makima_shared::queue::Queue;
use makima_shared::store::ReadyTask;
use makima_shared::testing;
use uuid::Uuid;

/// A queue under a random prefix.
pub(crate) struct OwnQueue {
    pub(crate) queue: Queue,
    pub(crate) prefix: String,
}

impl OwnQueue {
    pub(crate) fn new() -> Self {
        let prefix = format!("test-{}", Uuid::now_v7().simple());
        Self { queue: Self::over(&prefix), prefix }
    }

    /// Another connection to the queue of that prefix.
    pub(crate) fn over(prefix: &str) -> Queue {
        Queue::open(&testing::redis_url(), prefix).unwrap()
    }

    /// The names of the queue's keys.
    pub(crate) async fn keys(&self) -> Vec<String> {
        testing::redis_keys(&self.prefix).await
    }

    /// The channels of the queue that somebody has subscribed to.
    pub(crate) async fn channels(&self) -> Vec<String> {
        testing::redis_channels(&self.prefix).await
    }

    /// Loses all that the queue has in Redis, as FLUSHALL would.
    pub(crate) async fn lose_everything(&self) {
        testing::redis_lose(&self.prefix).await;
    }
}

/// A ready task of a given priority and age, for everybody but `excluded`.
pub(crate) fn ready(priority: i16, queued_at: DateTime<Utc>, excluded: &[WorkerId]) -> ReadyTask {
    ReadyTask {
        id: TaskId::new(),
        owner_id: OwnerId::from(Uuid::nil()),
        owner_weight: 1,
        priority,
        queued_at,
        labels: Vec::new(),
        excluded_worker_ids: excluded.to_vec(),
    }
}

/// A ready task for everybody.
pub(crate) fn ready_now() -> ReadyTask {
    ready(50, Utc::now(), &[])
}
