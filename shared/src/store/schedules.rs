//! Cron schedules: made, read and deleted by their owner, fired by the scheduler.
//!
//! A due time is dealt with in one transaction: what came of it, the task that it submits and the next due time are
//! committed together or not at all. So each due time is dealt with exactly once, whoever leads and whenever it dies.

mod due;
mod fire;
mod prune;
mod read;
mod take;

use sqlx::types::Json;

use crate::domain::{MissedRuns, NewSchedule, OwnerId, Schedule, ScheduleId};
use crate::store::{Store, StoreError, SubmitError};

pub use due::DueSchedule;
pub use fire::FiredRun;
pub use read::{ScheduleFilter, SchedulePage};

impl Store {
    /// Accepts a schedule. Its first due time lies after this moment, by the database's clock.
    ///
    /// # Errors
    /// Its task could not be submitted now; see [`SubmitError`].
    pub async fn schedule_create(
        &self,
        owner: OwnerId,
        schedule: &NewSchedule,
    ) -> Result<Schedule, SubmitError> {
        let mut txn = self.pool.begin().await?;
        take::task_try_in_txn(&mut txn, owner, &schedule.task).await?;
        let now = sqlx::query_scalar!(r#"SELECT now() AS "now!""#).fetch_one(&mut *txn).await?;
        let id = ScheduleId::new();
        sqlx::query!(
            r#"
            INSERT INTO schedules (id, owner_id, name, cron, time_zone, task, missed_runs, allow_overlap, next_due_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            "#,
            id.uuid(),
            owner.uuid(),
            schedule.name,
            schedule.cron,
            schedule.time_zone,
            Json(&schedule.task.submission) as _,
            schedule.missed_runs as MissedRuns,
            schedule.allow_overlap,
            schedule.recurrence.next_after(now),
        )
        .execute(&mut *txn)
        .await?;
        let created =
            read::schedule_get_in_txn(&mut *txn, owner, id).await?.ok_or(sqlx::Error::RowNotFound)?;
        txn.commit().await?;
        Ok(created)
    }

    /// Deletes one of the owner's schedules with its history; the tasks that it submitted stay. Returns whether there
    /// was such a schedule.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn schedule_delete(&self, owner: OwnerId, schedule: ScheduleId) -> Result<bool, StoreError> {
        let deleted = sqlx::query!(
            "DELETE FROM schedules WHERE owner_id = $1 AND id = $2",
            owner.uuid(),
            schedule.uuid()
        )
        .execute(&self.pool)
        .await?;
        Ok(deleted.rows_affected() == 1)
    }
}
