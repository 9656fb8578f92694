//! Queued tasks: what the queue is told again.

use chrono::{DateTime, Utc};

use super::ReadyTask;
use crate::domain::{OwnerId, TaskId, WorkerId};
use crate::store::{Store, StoreError};

impl Store {
    /// Lists queued tasks, oldest first, behind `after`: those whose hint may be lost. Hints on their way are left alone for
    /// `age_ms`.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn tasks_queued(
        &self,
        after: (DateTime<Utc>, TaskId),
        age_ms: i64,
        limit: i64,
    ) -> Result<Vec<ReadyTask>, StoreError> {
        let (since, id) = after;
        let queued = sqlx::query_as!(
            ReadyTask,
            r#"
            SELECT t.id AS "id: TaskId", t.owner_id AS "owner_id: OwnerId", o.weight AS owner_weight, t.priority,
                   t.queued_at AS "queued_at!", t.labels, t.excluded_worker_ids AS "excluded_worker_ids: Vec<WorkerId>"
            FROM tasks t JOIN owners o ON o.id = t.owner_id
            WHERE t.status = 'queued' AND (t.queued_at, t.id) > ($1, $2)
              AND t.queued_at <= now() - make_interval(secs => $3::float8 / 1000)
            ORDER BY t.queued_at, t.id LIMIT $4
            "#,
            since,
            id.uuid(),
            age_ms as f64,
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(queued)
    }

    /// Returns those of the given tasks that are queued: what a claim has left over.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn tasks_ready(&self, tasks: &[TaskId]) -> Result<Vec<ReadyTask>, StoreError> {
        let ids: Vec<_> = tasks.iter().map(|id| id.uuid()).collect();
        let ready = sqlx::query_as!(
            ReadyTask,
            r#"
            SELECT t.id AS "id: TaskId", t.owner_id AS "owner_id: OwnerId", o.weight AS owner_weight, t.priority,
                   t.queued_at AS "queued_at!", t.labels, t.excluded_worker_ids AS "excluded_worker_ids: Vec<WorkerId>"
            FROM tasks t JOIN owners o ON o.id = t.owner_id
            WHERE t.id = ANY($1) AND t.status = 'queued'
            "#,
            &ids,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ready)
    }
}
