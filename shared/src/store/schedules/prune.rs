//! The bounds of the history.

use crate::domain::ScheduleId;
use crate::store::{Store, StoreError};

/// How many runs of a schedule are kept at most.
const MAX_RUNS: i64 = 1000;
/// How many are kept however old they are: what is due once a year has a history too.
const MIN_RUNS: i64 = 20;
/// For how many days the others are kept.
const KEEP_DAYS: i32 = 30;

impl Store {
    /// Lists up to `limit` schedules of all owners, by id behind `after`.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn schedules_page(
        &self,
        after: Option<ScheduleId>,
        limit: i64,
    ) -> Result<Vec<ScheduleId>, StoreError> {
        let page = sqlx::query_scalar!(
            r#"SELECT id AS "id: ScheduleId" FROM schedules WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2"#,
            after.map(ScheduleId::uuid),
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(page)
    }

    /// Deletes up to `limit` runs of a schedule that are beyond its newest 1,000, or older than 30 days and beyond its
    /// newest 20. Returns how many.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn schedule_runs_prune(&self, schedule: ScheduleId, limit: i64) -> Result<u64, StoreError> {
        let pruned = sqlx::query!(
            r#"
            DELETE FROM schedule_runs WHERE schedule_id = $1 AND due_at IN (
                SELECT due_at FROM (
                    SELECT due_at, row_number() OVER (ORDER BY due_at DESC) AS place
                    FROM schedule_runs WHERE schedule_id = $1
                ) run
                WHERE place > $2 OR (place > $3 AND due_at < now() - make_interval(days => $4))
                LIMIT $5
            )
            "#,
            schedule.uuid(),
            MAX_RUNS,
            MIN_RUNS,
            KEEP_DAYS,
            limit,
        )
        .execute(&self.pool)
        .await?;
        Ok(pruned.rows_affected())
    }
}
