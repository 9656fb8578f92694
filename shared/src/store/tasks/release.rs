//! Released tasks: those that may run now, and those that no longer can.

use chrono::{DateTime, Utc};

use crate::domain::{TaskId, WorkerId};
use crate::store::{Store, StoreError};

/// What the queue needs to know of a task.
#[derive(Clone, Debug)]
pub struct ReadyTask {
    /// The task.
    pub id: TaskId,
    /// 0 to 100; higher goes first.
    pub priority: i16,
    /// Since when it is ready; older goes first.
    pub queued_at: DateTime<Utc>,
    /// The workers that shall not take it.
    pub excluded_worker_ids: Vec<WorkerId>,
}

impl Store {
    /// Moves up to `limit` pending tasks whose dependencies are done and whose time has come to `queued`.
    ///
    /// With `parents`, only tasks that depend on one of them are looked at, which costs no more than there are such.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn tasks_release(
        &self,
        parents: Option<&[TaskId]>,
        limit: i64,
    ) -> Result<Vec<ReadyTask>, StoreError> {
        let parents: Option<Vec<_>> = parents.map(|ids| ids.iter().map(|id| id.uuid()).collect());
        let released = sqlx::query_as!(
            ReadyTask,
            r#"
            WITH candidate AS (
                SELECT t.id FROM tasks t
                WHERE t.status = 'pending' AND (t.not_before IS NULL OR t.not_before <= now())
                  AND ($1::uuid[] IS NULL
                       OR t.id IN (SELECT d.task_id FROM task_dependencies d WHERE d.depends_on_task_id = ANY($1)))
                  AND NOT EXISTS (
                      SELECT FROM task_dependencies d JOIN tasks p ON p.id = d.depends_on_task_id
                      WHERE d.task_id = t.id AND p.status NOT IN ('done', 'merged'))
                ORDER BY t.id LIMIT $2
                FOR NO KEY UPDATE OF t SKIP LOCKED
            ), moved AS (
                UPDATE tasks t SET
                    status = 'queued', queued_at = now(), not_before = NULL, status_code = NULL, status_message = NULL,
                    last_sequence = t.last_sequence + 1, version = t.version + 1, updated_at = now()
                FROM candidate WHERE t.id = candidate.id
                RETURNING t.id, t.epoch, t.priority, t.queued_at, t.excluded_worker_ids, t.last_sequence
            ), event AS (
                INSERT INTO task_events (task_id, sequence, epoch, kind, data)
                SELECT id, last_sequence, epoch, 'status',
                       jsonb_build_object('transition', 'released', 'from', 'pending', 'to', 'queued')
                FROM moved
            )
            SELECT id AS "id: TaskId", priority, queued_at AS "queued_at!",
                   excluded_worker_ids AS "excluded_worker_ids: Vec<WorkerId>"
            FROM moved
            "#,
            parents.as_deref(),
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(released)
    }

    /// Finds up to `limit` pending tasks that wait for one that can no longer be done, each with that one named in words.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn tasks_blocked(&self, limit: i64) -> Result<Vec<(TaskId, String)>, StoreError> {
        let rows = sqlx::query!(
            r#"
            SELECT DISTINCT ON (t.id) t.id AS "id: TaskId", p.id AS "parent: TaskId", p.name, p.status::text AS "status!"
            FROM tasks p
            JOIN task_dependencies d ON d.depends_on_task_id = p.id
            JOIN tasks t ON t.id = d.task_id
            WHERE t.status = 'pending' AND p.status IN ('failed', 'cancelled')
            ORDER BY t.id LIMIT $1
            "#,
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                (
                    row.id,
                    format!("it depends on {} ({}), which is {}", row.parent.short(), row.name, row.status),
                )
            })
            .collect())
    }

    /// Lists tasks that have been queued for at least `age_ms`, by id behind `after`: those whose hint may be lost.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn tasks_queued(
        &self,
        after: Option<TaskId>,
        age_ms: i64,
        limit: i64,
    ) -> Result<Vec<ReadyTask>, StoreError> {
        let queued = sqlx::query_as!(
            ReadyTask,
            r#"
            SELECT id AS "id: TaskId", priority, queued_at AS "queued_at!",
                   excluded_worker_ids AS "excluded_worker_ids: Vec<WorkerId>"
            FROM tasks
            WHERE status = 'queued' AND queued_at <= now() - make_interval(secs => $2::float8 / 1000)
              AND ($1::uuid IS NULL OR id > $1)
            ORDER BY id LIMIT $3
            "#,
            after.map(TaskId::uuid),
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
            SELECT id AS "id: TaskId", priority, queued_at AS "queued_at!",
                   excluded_worker_ids AS "excluded_worker_ids: Vec<WorkerId>"
            FROM tasks WHERE id = ANY($1) AND status = 'queued'
            "#,
            &ids,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ready)
    }
}
