//! Which schedules are due.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::domain::ScheduleId;
use crate::store::{Store, StoreError};

/// A schedule with a due time that has come or is close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueSchedule {
    /// The schedule.
    pub id: ScheduleId,
    /// The due time.
    pub due_at: DateTime<Utc>,
    /// How long it is until then, by the database's clock; nothing if it has come.
    pub wait: Duration,
}

impl Store {
    /// Lists up to `limit` schedules that are due or will be within a while, the longest due first.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn schedules_due(&self, within: Duration, limit: i64) -> Result<Vec<DueSchedule>, StoreError> {
        let due = sqlx::query!(
            r#"
            SELECT id AS "id: ScheduleId", next_due_at AS "due_at!", now() AS "now!"
            FROM schedules
            WHERE next_due_at IS NOT NULL AND next_due_at <= now() + make_interval(secs => $1)
            ORDER BY next_due_at LIMIT $2
            "#,
            within.as_secs_f64(),
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        let due = due.into_iter().map(|row| DueSchedule {
            id: row.id,
            due_at: row.due_at,
            // A time that has passed is no wait.
            wait: (row.due_at - row.now).to_std().unwrap_or_default(),
        });
        Ok(due.collect())
    }
}
