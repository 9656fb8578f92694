//! Quarantine: a worker that fails one task after the other gets none for a while.
//!
//! What counts are attempts that blame their worker (no disk space, a broken checkout, an agent that cannot be started),
//! never those that the agent itself failed. A task that another worker has failed in the same way says more about
//! itself than about either, so it counts against neither. A quarantine ends by the clock; nothing has to lift it.

use std::time::Duration;

use super::{Store, StoreError};
use crate::domain::{Quarantine, WorkerId};

/// How many different tasks a worker has to fail.
const QUARANTINE_TASKS: i64 = 3;
/// Within what time it has to fail them.
const QUARANTINE_WINDOW: Duration = Duration::from_secs(600);

/// A worker that came into quarantine, or out of it before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedWorker {
    /// The worker.
    pub id: WorkerId,
    /// What people call it.
    pub name: String,
    /// Why it is, or was, in quarantine.
    pub reason: String,
}

impl Store {
    /// Puts every worker that has failed three different tasks within ten minutes into quarantine for `length`, and returns
    /// those. Failures from before the end of a worker's last quarantine do not count again.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn workers_quarantine(&self, length: Duration) -> Result<Vec<QuarantinedWorker>, StoreError> {
        let quarantined = sqlx::query_as!(
            QuarantinedWorker,
            r#"
            WITH culprit AS (
                SELECT a.worker_id, count(DISTINCT a.task_id) AS tasks,
                       (array_agg(a.error_code ORDER BY a.ended_at DESC))[1] AS last_code
                FROM attempts a JOIN workers w ON w.id = a.worker_id
                WHERE a.blames_worker AND a.ended_at > now() - make_interval(secs => $1)
                  AND w.ended_at IS NULL AND (w.quarantined_until IS NULL OR a.ended_at > w.quarantined_until)
                  AND NOT EXISTS (
                      SELECT FROM attempts o
                      WHERE o.task_id = a.task_id AND o.blames_worker AND o.worker_id <> a.worker_id)
                GROUP BY a.worker_id HAVING count(DISTINCT a.task_id) >= $2
            ), held AS (
                SELECT w.id, culprit.tasks, culprit.last_code
                FROM workers w JOIN culprit ON culprit.worker_id = w.id
                WHERE w.ended_at IS NULL AND (w.quarantined_until IS NULL OR w.quarantined_until <= now())
                FOR NO KEY UPDATE OF w SKIP LOCKED
            )
            UPDATE workers w SET
                quarantined_at = now(), quarantined_until = now() + make_interval(secs => $3),
                quarantine_reason = format('%s tasks failed here within ten minutes, the last one with %s',
                                           held.tasks, coalesce(held.last_code, 'no code'))
            FROM held WHERE w.id = held.id
            RETURNING w.id AS "id: WorkerId", w.name, w.quarantine_reason AS "reason!"
            "#,
            QUARANTINE_WINDOW.as_secs_f64(),
            QUARANTINE_TASKS,
            length.as_secs_f64(),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(quarantined)
    }

    /// Lets the worker go whose quarantine ends first, if every live worker is in quarantine and nobody has joined them
    /// for `grace`: a worker that may fail a task is better than a queue that stands still.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn workers_let_go(&self, grace: Duration) -> Result<Option<QuarantinedWorker>, StoreError> {
        let let_go = sqlx::query_as!(
            QuarantinedWorker,
            r#"
            WITH live AS (
                SELECT id, quarantined_at, coalesce(quarantined_until > now(), false) AS quarantined
                FROM workers WHERE ended_at IS NULL AND NOT draining AND lease_expires_at > now()
            ), first AS (
                SELECT w.id FROM workers w JOIN live ON live.id = w.id
                WHERE w.ended_at IS NULL AND w.quarantined_until > now()
                  AND (SELECT bool_and(quarantined) FROM live)
                  AND (SELECT max(quarantined_at) FROM live) <= now() - make_interval(secs => $1)
                ORDER BY w.quarantined_until, w.id LIMIT 1
                FOR NO KEY UPDATE OF w
            )
            UPDATE workers w SET quarantined_until = now() FROM first WHERE w.id = first.id
            RETURNING w.id AS "id: WorkerId", w.name, w.quarantine_reason AS "reason!"
            "#,
            grace.as_secs_f64(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(let_go)
    }

    /// Puts a worker into quarantine for `length` at its own wish, and returns that; none if the worker has ended.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn worker_quarantine_itself(
        &self,
        id: WorkerId,
        length: Duration,
        reason: &str,
    ) -> Result<Option<Quarantine>, StoreError> {
        let quarantine = sqlx::query_as!(
            Quarantine,
            r#"
            UPDATE workers SET
                quarantined_at = now(), quarantined_until = now() + make_interval(secs => $2), quarantine_reason = $3
            WHERE id = $1 AND ended_at IS NULL
            RETURNING quarantined_until AS "until!", quarantine_reason AS "reason!"
            "#,
            id.uuid(),
            length.as_secs_f64(),
            reason,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(quarantine)
    }

    /// Returns the quarantine that a worker is in.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn worker_quarantine(&self, id: WorkerId) -> Result<Option<Quarantine>, StoreError> {
        let quarantine = sqlx::query_as!(
            Quarantine,
            r#"
            SELECT quarantined_until AS "until!", quarantine_reason AS "reason!"
            FROM workers WHERE id = $1 AND quarantined_until > now()
            "#,
            id.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(quarantine)
    }
}
