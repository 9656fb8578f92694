//! Exclusions: a task keeps away from the workers that failed it, as far as there are others.
//!
//! A worker that failed a task is entered in `excluded_worker_ids` by the transition, and whoever stands there does not
//! get the task. How much that weighs is judged here, once the task has been queued for a grace period. The worker of
//! the attempt right before is excluded hard: it gets the task only if it is the only one alive. Those of attempts
//! before that are a preference: one of them gets it when no worker outside has a free slot. At each look one exclusion
//! is lifted, that of the least bad worker: which failed the task least often, and of those the one whose failure lies
//! longest back.

use crate::domain::{OwnerId, TaskId, WorkerId};
use crate::store::{ReadyTask, Store, StoreError};

impl Store {
    /// Lifts one exclusion of up to `limit` tasks that have been queued for `grace_ms` without a worker for them. Returns
    /// the tasks, for the queue to hear of it.
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
            WITH live AS (
                SELECT w.id, w.labels, w.slots > (SELECT count(*) FROM tasks h WHERE h.worker_id = w.id) AS has_free_slot
                FROM workers w
                WHERE w.ended_at IS NULL AND NOT w.draining AND w.lease_expires_at > now()
                  AND coalesce(w.quarantined_until <= now(), true)
            ), chosen AS (
                SELECT t.id, least.worker_id
                FROM tasks t CROSS JOIN LATERAL (
                    SELECT live.id AS worker_id, coalesce(bool_or(a.epoch = t.epoch), false) AS is_last
                    FROM live LEFT JOIN attempts a ON a.task_id = t.id AND a.worker_id = live.id AND a.blames_worker
                    WHERE live.id = ANY(t.excluded_worker_ids) AND t.labels <@ live.labels
                    GROUP BY live.id
                    ORDER BY is_last, count(a.epoch), max(a.ended_at), live.id LIMIT 1
                ) least
                WHERE t.status = 'queued' AND t.excluded_worker_ids <> '{}'
                  AND t.queued_at <= now() - make_interval(secs => $1::float8 / 1000)
                  AND NOT EXISTS (
                      SELECT FROM live
                      WHERE live.id <> ALL(t.excluded_worker_ids) AND t.labels <@ live.labels
                        AND (least.is_last OR live.has_free_slot))
                ORDER BY t.id LIMIT $2
            ), held AS (
                SELECT t.id, chosen.worker_id FROM tasks t JOIN chosen ON chosen.id = t.id
                WHERE t.status = 'queued'
                FOR NO KEY UPDATE OF t SKIP LOCKED
            ), relaxed AS (
                UPDATE tasks t SET
                    excluded_worker_ids = array_remove(t.excluded_worker_ids, held.worker_id),
                    last_sequence = t.last_sequence + 1, updated_at = now()
                FROM held WHERE t.id = held.id
                RETURNING t.id, t.owner_id, t.epoch, t.priority, t.labels, t.queued_at, t.last_sequence, t.excluded_worker_ids,
                          held.worker_id
            ), event AS (
                INSERT INTO task_events (task_id, sequence, epoch, kind, data)
                SELECT id, last_sequence, epoch, 'notice', jsonb_build_object(
                    'code', 'EXCLUSION_LIFTED', 'workerId', worker_id,
                    'message', 'no other worker came for it: the one that failed it least may take it again')
                FROM relaxed
            )
            SELECT r.id AS "id: TaskId", owner_id AS "owner_id: OwnerId", o.weight AS owner_weight, priority, labels,
                   queued_at AS "queued_at!", excluded_worker_ids AS "excluded_worker_ids!: Vec<WorkerId>"
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
