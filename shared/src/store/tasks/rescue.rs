//! Attempts whose worker is gone.

use crate::domain::{Epoch, TaskId, WorkerId};
use crate::store::{Store, StoreError};

/// An attempt that nobody carries on.
#[derive(Clone, Debug)]
pub struct LostAttempt {
    /// Its task.
    pub task_id: TaskId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The worker that is gone.
    pub worker_id: WorkerId,
    /// What people called it.
    pub worker_name: String,
    /// The worker's lease had run out when it was ended; if not, it said goodbye or had fallen silent.
    pub lease_ran_out: bool,
    /// How many retries the task has spent.
    pub retry_count: i16,
    /// How many it has in all.
    pub max_retries: i16,
}

impl Store {
    /// Finds up to `limit` tasks that are held by a worker that has ended.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn attempts_lost(&self, limit: i64) -> Result<Vec<LostAttempt>, StoreError> {
        let lost = sqlx::query_as!(
            LostAttempt,
            r#"
            SELECT t.id AS "task_id: TaskId", t.epoch AS "epoch: Epoch", w.id AS "worker_id: WorkerId",
                   w.name AS worker_name,
                   w.lease_expires_at <= w.ended_at AS "lease_ran_out!", t.retry_count, t.max_retries
            FROM tasks t JOIN workers w ON w.id = t.worker_id
            WHERE t.worker_id IS NOT NULL AND w.ended_at IS NOT NULL
            ORDER BY t.id LIMIT $1
            "#,
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(lost)
    }
}
