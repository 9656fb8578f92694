//! The fleet: registration, leases, and what is left of workers that died.

use std::time::Duration;

use sqlx::PgExecutor;

use super::{Store, StoreError};
use crate::domain::{NewWorker, Quarantine, Worker, WorkerId};

/// What a worker learns when it renews its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a worker without a lease must stop its agents"]
pub enum Renewal {
    /// The lease holds on. The worker may be in quarantine.
    Held(Option<Quarantine>),
    /// It ran out before, or the worker was ended: its tasks are no longer its own.
    Over,
}

impl Store {
    /// Enters a worker with its first lease.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn worker_register(&self, worker: &NewWorker, lease: Duration) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            INSERT INTO workers (id, name, host, pid, version, slots, labels, lease_expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8))
            "#,
            worker.id.uuid(),
            worker.name,
            worker.host,
            worker.pid,
            env!("CARGO_PKG_VERSION"),
            worker.slots,
            &worker.labels,
            lease.as_secs_f64(),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Renews a lease, and says within which time the next renewal comes.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn worker_renew(
        &self,
        id: WorkerId,
        lease: Duration,
        beat: Duration,
    ) -> Result<Renewal, StoreError> {
        renew(&self.pool, id, lease, beat).await
    }

    /// Notes what a worker has done in its life.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn worker_count(&self, id: WorkerId, claimed: i64, done: i64) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE workers SET claimed_count = $2, done_count = $3 WHERE id = $1",
            id.uuid(),
            claimed,
            done
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Marks a worker as one that takes nothing new.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn worker_drain(&self, id: WorkerId) -> Result<(), StoreError> {
        sqlx::query!("UPDATE workers SET draining = true WHERE id = $1", id.uuid())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Enters that a worker is gone. What it still held is rescued as lost.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn worker_end(&self, id: WorkerId) -> Result<(), StoreError> {
        sqlx::query!("UPDATE workers SET ended_at = now() WHERE id = $1 AND ended_at IS NULL", id.uuid())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Ends every worker whose lease ran out, and returns them.
    ///
    /// This and the renewal lock the same row and each looks at what the other wrote, so a worker is either renewed or
    /// ended, never both. One whose row is locked for the moment is left to the next call, so that it holds nobody up.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn workers_end_expired(&self) -> Result<Vec<WorkerId>, StoreError> {
        let ended = sqlx::query_scalar!(
            r#"
            WITH expired AS (
                SELECT id FROM workers WHERE ended_at IS NULL AND lease_expires_at <= now()
                FOR NO KEY UPDATE SKIP LOCKED
            )
            UPDATE workers w SET ended_at = now() FROM expired WHERE w.id = expired.id RETURNING w.id AS "id: WorkerId"
            "#
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ended)
    }

    /// Lists the workers that have not ended, oldest first, 1,000 at most.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn workers_list(&self) -> Result<Vec<Worker>, StoreError> {
        self.workers_where(None).await
    }

    /// Returns one worker, also one that has ended.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn worker_get(&self, id: WorkerId) -> Result<Option<Worker>, StoreError> {
        Ok(self.workers_where(Some(id)).await?.pop())
    }

    async fn workers_where(&self, id: Option<WorkerId>) -> Result<Vec<Worker>, StoreError> {
        let workers = sqlx::query_as!(
            Worker,
            r#"
            SELECT id AS "id: WorkerId", name, host, pid, version, slots, labels, registered_at, lease_expires_at,
                   draining, CASE WHEN quarantined_until > now() THEN quarantined_until END AS quarantined_until,
                   CASE WHEN quarantined_until > now() THEN quarantine_reason END AS quarantine_reason,
                   ended_at IS NULL AND lease_expires_at > now() AS "alive!", claimed_count, done_count,
                   (SELECT count(*) FROM tasks WHERE tasks.worker_id = workers.id) AS "busy_slots!"
            FROM workers
            WHERE CASE WHEN $1::uuid IS NULL THEN ended_at IS NULL ELSE id = $1 END
            ORDER BY id LIMIT 1000
            "#,
            id.map(WorkerId::uuid),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(workers)
    }
}

/// Renews a lease over a connection.
pub(super) async fn renew(
    executor: impl PgExecutor<'_>,
    id: WorkerId,
    lease: Duration,
    beat: Duration,
) -> Result<Renewal, StoreError> {
    let renewed = sqlx::query!(
        r#"
        UPDATE workers SET lease_expires_at = now() + make_interval(secs => $2), renewed_at = now(), beat_ms = $3
        WHERE id = $1 AND ended_at IS NULL AND lease_expires_at > now()
        RETURNING CASE WHEN quarantined_until > now() THEN quarantined_until END AS until, quarantine_reason AS reason
        "#,
        id.uuid(),
        lease.as_secs_f64(),
        beat_millis(beat),
    )
    .fetch_optional(executor)
    .await?;
    Ok(renewed.map_or(Renewal::Over, |row| {
        Renewal::Held(row.until.zip(row.reason).map(|(until, reason)| Quarantine { until, reason }))
    }))
}

/// Returns the time between two renewals as it is stored.
pub(super) fn beat_millis(beat: Duration) -> i32 {
    i32::try_from(beat.as_millis()).unwrap_or(i32::MAX).max(1)
}
