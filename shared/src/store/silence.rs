//! Workers that are ended before their lease is over, because they have fallen silent: their connection to Redis is
//! broken, and their beat is overdue.
//!
//! **Trust window.** A worker lives on after its end here if its beat was late while its connection broke, as when the
//! network between it and both servers fails for a moment. Its agents then run beside those of the next attempt until
//! its next beat, which is refused. What they write through the store is fenced by the epoch from the first moment on.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::workers::beat_millis;
use super::{Store, StoreError};
use crate::domain::WorkerId;

/// How late a beat may be before it is overdue, in seconds. What makes beats late (busy cores, a commit that waits for
/// the disk) does not grow with the time between two of them.
const BEAT_SLACK_SECS: f64 = 0.25;
/// How many workers are looked at; those beyond are left to their leases.
const MAX_WORKERS: i64 = 10_000;

/// When a worker last renewed its lease.
#[derive(Clone, Copy, Debug)]
pub struct WorkerBeat {
    /// The worker.
    pub id: WorkerId,
    /// When, by the database's clock.
    pub renewed_at: DateTime<Utc>,
}

impl Store {
    /// Enters that a worker has subscribed to its channel in Redis and beats this often: from now on a broken connection
    /// tells something about it.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn worker_announce(&self, id: WorkerId, beat: Duration) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE workers SET has_presence = true, beat_ms = $2 WHERE id = $1 AND ended_at IS NULL",
            id.uuid(),
            beat_millis(beat),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Lists the live workers that have announced themselves, 10,000 at most.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn workers_beats(&self) -> Result<Vec<WorkerBeat>, StoreError> {
        let beats = sqlx::query_as!(
            WorkerBeat,
            r#"
            SELECT id AS "id: WorkerId", renewed_at FROM workers
            WHERE ended_at IS NULL AND has_presence ORDER BY id LIMIT $1
            "#,
            MAX_WORKERS,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(beats)
    }

    /// Ends those of the suspected workers whose beat is overdue, and returns them.
    ///
    /// As with the end of a lease, this and the renewal lock the same row and each looks at what the other wrote. A beat
    /// that could not come because PostgreSQL was down is not overdue: it is due anew from PostgreSQL's start.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn workers_end_silent(&self, suspects: &[WorkerId]) -> Result<Vec<WorkerId>, StoreError> {
        let ids: Vec<_> = suspects.iter().map(|id| id.uuid()).collect();
        let ended = sqlx::query_scalar!(
            r#"
            WITH silent AS (
                SELECT id FROM workers
                WHERE id = ANY($1) AND ended_at IS NULL AND has_presence
                  AND now() > greatest(renewed_at, pg_postmaster_start_time())
                              + make_interval(secs => beat_ms / 1000.0 + $2::float8)
                FOR NO KEY UPDATE SKIP LOCKED
            )
            UPDATE workers w SET ended_at = now() FROM silent WHERE w.id = silent.id RETURNING w.id AS "id: WorkerId"
            "#,
            &ids,
            BEAT_SLACK_SECS,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ended)
    }
}
