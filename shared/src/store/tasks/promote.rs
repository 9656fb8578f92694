//! Pending tasks that wait for nothing but the time: a `runAt`, or the end of a back-off.

use super::ReadyTask;
use crate::domain::{OwnerId, TaskId, WorkerId};
use crate::store::{Store, StoreError};

/// What became of tasks whose time had come.
#[derive(Clone, Debug, Default)]
pub struct Promoted {
    /// How many there were.
    pub count: usize,
    /// Those that are queued now.
    pub released: Vec<ReadyTask>,
}

impl Store {
    /// Moves up to `limit` pending tasks whose time has come to `queued`; those of a limited owner wait for a slot instead.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn tasks_promote_due(&self, limit: i64) -> Result<Promoted, StoreError> {
        let rows = sqlx::query!(
            r#"
            WITH candidate AS (
                SELECT t.id, o.weight, o.limited FROM tasks t JOIN owners o ON o.id = t.owner_id
                WHERE t.status = 'pending' AND t.undone_parents = 0 AND t.slot = 'none' AND t.not_before <= now()
                ORDER BY t.not_before LIMIT $1
                FOR NO KEY UPDATE OF t SKIP LOCKED
            ), moved AS (
                UPDATE tasks t SET
                    status = CASE WHEN limited THEN t.status ELSE 'queued' END,
                    slot = CASE WHEN limited THEN 'waiting' ELSE t.slot END,
                    queued_at = CASE WHEN limited THEN t.queued_at ELSE now() END,
                    not_before = NULL,
                    status_code = CASE WHEN limited THEN t.status_code END,
                    status_message = CASE WHEN limited THEN t.status_message END,
                    last_sequence = t.last_sequence + (NOT limited)::integer,
                    version = t.version + (NOT limited)::integer,
                    updated_at = now()
                FROM candidate WHERE t.id = candidate.id
                RETURNING t.id, t.owner_id, t.status, t.epoch, t.priority, t.labels, t.queued_at, t.excluded_worker_ids,
                          t.last_sequence, candidate.weight
            ), event AS (
                INSERT INTO task_events (task_id, sequence, epoch, kind, data)
                SELECT id, last_sequence, epoch, 'status',
                       jsonb_build_object('transition', 'released', 'from', 'pending', 'to', 'queued')
                FROM moved WHERE status = 'queued'
            )
            SELECT id AS "id: TaskId", owner_id AS "owner_id: OwnerId", status = 'queued' AS "is_queued!", priority,
                   labels, queued_at, excluded_worker_ids AS "excluded_worker_ids: Vec<WorkerId>", weight
            FROM moved
            "#,
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        let count = rows.len();
        let ready = rows.into_iter().filter_map(|row| {
            Some(ReadyTask {
                id: row.id,
                owner_id: row.owner_id,
                owner_weight: row.weight,
                priority: row.priority,
                queued_at: row.queued_at.filter(|_| row.is_queued)?,
                labels: row.labels,
                excluded_worker_ids: row.excluded_worker_ids,
            })
        });
        Ok(Promoted { count, released: ready.collect() })
    }
}
