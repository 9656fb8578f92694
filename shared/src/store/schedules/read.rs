//! Schedules as their owner sees them.

use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::domain::{
    MissedRuns, OwnerId, RunOutcome, Schedule, ScheduleId, ScheduleRun, ScheduleSummary, TaskId,
    TaskSubmission,
};
use crate::store::{Store, StoreError};

/// Which schedules to list. Empty fields do not narrow the list.
#[derive(Clone, Debug, Default)]
pub struct ScheduleFilter {
    /// Only schedules whose id ends with these hexadecimal digits.
    pub id_suffix: Option<String>,
    /// Only schedules older than this one.
    pub before: Option<ScheduleId>,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct SchedulePage {
    /// Newest first.
    pub schedules: Vec<ScheduleSummary>,
    /// The last schedule of the page if more follow.
    pub next: Option<ScheduleId>,
}

impl Store {
    /// Returns one of the owner's schedules.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn schedule_get(
        &self,
        owner: OwnerId,
        schedule: ScheduleId,
    ) -> Result<Option<Schedule>, StoreError> {
        Ok(schedule_get_in_txn(&self.pool, owner, schedule).await?)
    }

    /// Lists the owner's schedules, newest first.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn schedules_list(
        &self,
        owner: OwnerId,
        filter: &ScheduleFilter,
        limit: u32,
    ) -> Result<SchedulePage, StoreError> {
        let mut schedules = sqlx::query_as!(
            ScheduleSummary,
            r#"
            SELECT s.id AS "id: ScheduleId", s.name, s.cron, s.time_zone, s.missed_runs AS "missed_runs: MissedRuns",
                   s.allow_overlap, s.next_due_at, t.id AS "last_task_id?: TaskId", s.created_at
            FROM schedules s LEFT JOIN tasks t ON t.id = s.last_task_id
            WHERE s.owner_id = $1
              AND ($2::text IS NULL OR replace(s.id::text, '-', '') LIKE '%' || $2)
              AND ($3::uuid IS NULL OR s.id < $3)
            ORDER BY s.id DESC LIMIT $4
            "#,
            owner.uuid(),
            filter.id_suffix,
            filter.before.map(ScheduleId::uuid),
            i64::from(limit) + 1,
        )
        .fetch_all(&self.pool)
        .await?;
        let more = schedules.len() > limit as usize;
        schedules.truncate(limit as usize);
        let next = if more { schedules.last().map(|schedule| schedule.id) } else { None };
        Ok(SchedulePage { schedules, next })
    }

    /// Lists what came of a schedule's due times, newest first, `limit` at most.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn schedule_runs(
        &self,
        owner: OwnerId,
        schedule: ScheduleId,
        limit: u32,
    ) -> Result<Vec<ScheduleRun>, StoreError> {
        let runs = sqlx::query_as!(
            ScheduleRun,
            r#"
            SELECT r.due_at, r.missed_until, r.outcome AS "outcome: RunOutcome", r.message,
                   r.task_id AS "task_id: TaskId", r.created_at
            FROM schedule_runs r JOIN schedules s ON s.id = r.schedule_id
            WHERE s.owner_id = $1 AND s.id = $2
            ORDER BY r.due_at DESC LIMIT $3
            "#,
            owner.uuid(),
            schedule.uuid(),
            i64::from(limit),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(runs)
    }
}

pub(super) async fn schedule_get_in_txn(
    executor: impl PgExecutor<'_>,
    owner: OwnerId,
    schedule: ScheduleId,
) -> Result<Option<Schedule>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        SELECT s.id AS "id: ScheduleId", s.name, s.cron, s.time_zone, s.task AS "task: Json<TaskSubmission>",
               s.missed_runs AS "missed_runs: MissedRuns", s.allow_overlap, s.next_due_at,
               t.id AS "last_task_id?: TaskId", s.created_at
        FROM schedules s LEFT JOIN tasks t ON t.id = s.last_task_id
        WHERE s.owner_id = $1 AND s.id = $2
        "#,
        owner.uuid(),
        schedule.uuid(),
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| Schedule {
        task: row.task.0,
        summary: ScheduleSummary {
            id: row.id,
            name: row.name,
            cron: row.cron,
            time_zone: row.time_zone,
            missed_runs: row.missed_runs,
            allow_overlap: row.allow_overlap,
            next_due_at: row.next_due_at,
            last_task_id: row.last_task_id,
            created_at: row.created_at,
        },
    }))
}
