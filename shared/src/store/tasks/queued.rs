//! Queued tasks: what the queue is told again, and exclusions that leave a task without a worker.

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

    /// Lifts the exclusions of up to `limit` tasks that have been queued for `grace_ms` while every live worker is one
    /// that they exclude. Returns them, for the queue to hear of it.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn tasks_relax_exclusions(
        &self,
        grace_ms: i64,
        limit: i64,
    ) -> Result<Vec<ReadyTask>, StoreError> {
        let relaxed = sqlx::query_as!(
            ReadyTask,
            r#"
            WITH candidate AS (
                SELECT t.id FROM tasks t
                WHERE t.status = 'queued' AND t.excluded_worker_ids <> '{}'
                  AND t.queued_at <= now() - make_interval(secs => $1::float8 / 1000)
                  AND EXISTS (SELECT FROM workers w
                      WHERE w.ended_at IS NULL AND NOT w.draining AND t.labels <@ w.labels)
                  AND NOT EXISTS (
                      SELECT FROM workers w
                      WHERE w.ended_at IS NULL AND NOT w.draining AND t.labels <@ w.labels
                        AND w.id <> ALL(t.excluded_worker_ids)
                        AND coalesce(w.quarantined_until <= now(), true))
                ORDER BY t.id LIMIT $2
                FOR NO KEY UPDATE OF t SKIP LOCKED
            ), relaxed AS (
                UPDATE tasks t SET excluded_worker_ids = '{}', last_sequence = t.last_sequence + 1, updated_at = now()
                FROM candidate WHERE t.id = candidate.id
                RETURNING t.id, t.owner_id, t.epoch, t.priority, t.labels, t.queued_at, t.last_sequence
            ), event AS (
                INSERT INTO task_events (task_id, sequence, epoch, kind, data)
                SELECT id, last_sequence, epoch, 'notice', jsonb_build_object(
                    'code', 'EXCLUSION_LIFTED', 'message', 'no other worker is alive: one that lost it before may take it')
                FROM relaxed
            )
            SELECT r.id AS "id: TaskId", owner_id AS "owner_id: OwnerId", o.weight AS owner_weight, priority, labels,
                   queued_at AS "queued_at!", '{}'::uuid[] AS "excluded_worker_ids!: Vec<WorkerId>"
            FROM relaxed r JOIN owners o ON o.id = r.owner_id
            "#,
            grace_ms as f64,
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(relaxed)
    }
}
