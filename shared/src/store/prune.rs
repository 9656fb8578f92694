//! What is deleted after a while, a few rows at a time. None of it waits for a lock, and none of it holds one that a
//! claim or an end of an attempt needs.

mod output;

use std::time::Duration;

use super::{Store, StoreError};

pub use output::PrunedOutput;

impl Store {
    /// Deletes up to `limit` idempotency keys that are older than `keep`. A request that is sent again after that makes new
    /// tasks.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn idempotency_keys_prune(&self, keep: Duration, limit: i64) -> Result<u64, StoreError> {
        let pruned = sqlx::query!(
            r#"
            DELETE FROM idempotency_keys WHERE (owner_id, key) IN (
                SELECT owner_id, key FROM idempotency_keys
                WHERE created_at < now() - make_interval(secs => $1)
                ORDER BY created_at LIMIT $2
                FOR UPDATE SKIP LOCKED)
            "#,
            keep.as_secs_f64(),
            limit,
        )
        .execute(&self.pool)
        .await?;
        Ok(pruned.rows_affected())
    }

    /// Deletes up to `limit` workers that ended longer ago than `keep` and never had a task. The others stay for as
    /// long as an attempt names them.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn workers_prune(&self, keep: Duration, limit: i64) -> Result<u64, StoreError> {
        // A worker that died within its first beats never said that it had claimed something: one pass over the
        // attempts finds such ones, which are then known.
        let pruned = sqlx::query_scalar!(
            r#"
            WITH dead AS (
                SELECT id FROM workers w
                WHERE ended_at < now() - make_interval(secs => $1) AND claimed_count = 0
                  AND NOT EXISTS (SELECT FROM tasks t WHERE t.worker_id = w.id)
                ORDER BY ended_at LIMIT $2
            ), named AS (
                SELECT DISTINCT a.worker_id AS id FROM attempts a
                WHERE EXISTS (SELECT FROM dead WHERE dead.id = a.worker_id)
            ), known AS (
                UPDATE workers w SET claimed_count = 1 FROM named WHERE w.id = named.id
            ), gone AS (
                DELETE FROM workers w USING dead
                WHERE w.id = dead.id AND NOT EXISTS (SELECT FROM named WHERE named.id = w.id)
            )
            SELECT count(*) AS "count!" FROM dead
            "#,
            keep.as_secs_f64(),
            limit,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(u64::try_from(pruned).unwrap_or_default())
    }

    /// Deletes up to `limit` events of a task that was deleted before them, and returns how many; `None` if there is no such
    /// task left.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn deleted_events_prune(&self, limit: i64) -> Result<Option<u64>, StoreError> {
        let pruned = sqlx::query_scalar!(
            r#"
            WITH gone AS (
                SELECT id FROM deleted_tasks ORDER BY deleted_at LIMIT 1 FOR UPDATE SKIP LOCKED
            ), doomed AS (
                SELECT e.task_id, e.sequence FROM gone JOIN task_events e ON e.task_id = gone.id
                ORDER BY e.sequence LIMIT $1
            ), pruned AS (
                DELETE FROM task_events e USING doomed d WHERE e.task_id = d.task_id AND e.sequence = d.sequence
            ), done AS (
                DELETE FROM deleted_tasks d USING gone WHERE d.id = gone.id AND (SELECT count(*) FROM doomed) < $1
            )
            SELECT (SELECT count(*) FROM doomed) AS "count!" FROM gone
            "#,
            limit,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(pruned.map(|count| u64::try_from(count).unwrap_or_default()))
    }
}
