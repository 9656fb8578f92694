//! A due time that is dealt with.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgConnection, Postgres, Transaction};
use tracing::error;

use super::take::task_take_in_txn;
use crate::domain::{
    DuePlan, FieldError, MissedRuns, NewTask, OwnerId, Recurrence, RunOutcome, ScheduleId, TaskId,
};
use crate::store::{ReadyTask, Store, StoreError, SubmitError};

/// What came of a due time.
#[derive(Clone, Debug)]
pub struct FiredRun {
    /// What came of it.
    pub outcome: RunOutcome,
    /// Why its task was refused.
    pub message: Option<String>,
    /// The task that was submitted.
    pub task_id: Option<TaskId>,
    /// What the queue has to hear of that task, if it is queued.
    pub ready: Option<ReadyTask>,
    /// Only its owner's limits keep that task: the scheduler shall look.
    pub waits_for_slot: bool,
    /// How late it was dealt with.
    pub late_ms: i64,
}

/// A schedule whose row is locked.
struct LockedSchedule {
    id: ScheduleId,
    owner_id: OwnerId,
    cron: String,
    time_zone: String,
    task: Json<Value>,
    missed_runs: MissedRuns,
    allow_overlap: bool,
    /// The task that was submitted last has not ended.
    busy: bool,
    /// The due time has its run already.
    recorded: bool,
    now: DateTime<Utc>,
}

impl Store {
    /// Deals with a due time that has come: submits the schedule's task or says why not, notes that as a run, and moves
    /// the schedule on. `None` if somebody else was faster, or the schedule is gone.
    ///
    /// # Errors
    /// PostgreSQL is away. Whether it was dealt with is then not known; trying again is safe.
    pub async fn schedule_fire(
        &self,
        schedule: ScheduleId,
        due_at: DateTime<Utc>,
    ) -> Result<Option<FiredRun>, StoreError> {
        let mut txn = self.pool.begin().await?;
        let Some(schedule) = schedule_lock_in_txn(&mut txn, schedule, due_at).await? else {
            return Ok(None);
        };
        let plan = match Recurrence::parse(&schedule.cron, &schedule.time_zone) {
            Ok(recurrence) => Ok(recurrence.plan(due_at, schedule.now, schedule.missed_runs)),
            Err(problems) => Err(unreadable(&problems)),
        };
        let (missed_until, next_due_at) =
            plan.as_ref().map_or((None, None), |plan| (plan.missed_until, plan.next_due_at));
        let mut run = None;
        if !schedule.recorded {
            let mut fired = carry_out_in_txn(&mut txn, &schedule, plan).await?;
            fired.late_ms = (schedule.now - due_at).num_milliseconds();
            run_insert_in_txn(&mut txn, schedule.id, due_at, missed_until, &fired).await?;
            run = Some(fired);
        }
        let task = run.as_ref().and_then(|run| run.task_id);
        schedule_move_in_txn(&mut txn, schedule.id, next_due_at, task).await?;
        txn.commit().await?;
        Ok(run)
    }
}

/// Submits the task of a schedule, unless something speaks against it.
async fn carry_out_in_txn(
    txn: &mut Transaction<'_, Postgres>,
    schedule: &LockedSchedule,
    plan: Result<DuePlan, String>,
) -> Result<FiredRun, StoreError> {
    match plan {
        Err(words) => Ok(FiredRun::refused(words)),
        Ok(plan) if !plan.submits => Ok(FiredRun::skipped(RunOutcome::SkippedMissed)),
        Ok(_due) if schedule.busy && !schedule.allow_overlap => {
            Ok(FiredRun::skipped(RunOutcome::SkippedOverlap))
        }
        Ok(_due) => submit_in_txn(txn, schedule).await,
    }
}

async fn submit_in_txn(
    txn: &mut Transaction<'_, Postgres>,
    schedule: &LockedSchedule,
) -> Result<FiredRun, StoreError> {
    let submission = match serde_json::from_value(schedule.task.0.clone()) {
        Ok(submission) => NewTask::of_stored(submission),
        Err(error) => return Ok(FiredRun::refused(format!("its task cannot be read any more: {error}"))),
    };
    match task_take_in_txn(txn, schedule.owner_id, &submission).await {
        Ok(task) => Ok(FiredRun {
            task_id: Some(task.id),
            ready: task.ready,
            waits_for_slot: task.waits_for_slot,
            ..FiredRun::skipped(RunOutcome::Submitted)
        }),
        Err(SubmitError::Store(error @ StoreError::Unavailable(_))) => Err(error),
        Err(refusal) => {
            if let SubmitError::Store(cause) = &refusal {
                // A bug, or a row that somebody else wrote. The other due times of the schedule shall not wait for it.
                error!(schedule.id = %schedule.id, error = cause as &dyn std::error::Error, "a task was not stored");
            }
            Ok(FiredRun::refused(refusal.to_string()))
        }
    }
}

impl FiredRun {
    fn skipped(outcome: RunOutcome) -> Self {
        Self { outcome, message: None, task_id: None, ready: None, waits_for_slot: false, late_ms: 0 }
    }

    fn refused(words: String) -> Self {
        Self { message: Some(words), ..Self::skipped(RunOutcome::Refused) }
    }
}

fn unreadable(problems: &[FieldError]) -> String {
    let sentence = |problem: &FieldError| format!("{} {}", problem.field, problem.problem);
    problems.iter().map(sentence).collect::<Vec<_>>().join("; ")
}

async fn schedule_lock_in_txn(
    txn: &mut PgConnection,
    schedule: ScheduleId,
    due_at: DateTime<Utc>,
) -> Result<Option<LockedSchedule>, sqlx::Error> {
    sqlx::query_as!(
        LockedSchedule,
        r#"
        SELECT s.id AS "id: ScheduleId", s.owner_id AS "owner_id: OwnerId", s.cron, s.time_zone,
               s.task AS "task: Json<Value>", s.missed_runs AS "missed_runs: MissedRuns", s.allow_overlap,
               EXISTS (SELECT FROM tasks t WHERE t.id = s.last_task_id AND t.finished_at IS NULL) AS "busy!",
               EXISTS (SELECT FROM schedule_runs r WHERE r.schedule_id = s.id AND r.due_at = $2) AS "recorded!",
               now() AS "now!"
        FROM schedules s
        WHERE s.id = $1 AND s.next_due_at = $2 AND s.next_due_at <= now()
        FOR NO KEY UPDATE OF s
        "#,
        schedule.uuid(),
        due_at,
    )
    .fetch_optional(txn)
    .await
}

async fn run_insert_in_txn(
    txn: &mut PgConnection,
    schedule: ScheduleId,
    due_at: DateTime<Utc>,
    missed_until: Option<DateTime<Utc>>,
    run: &FiredRun,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        INSERT INTO schedule_runs (schedule_id, due_at, missed_until, task_id, outcome, message)
        VALUES ($1, $2, $3, $4, $5, $6)
        "#,
        schedule.uuid(),
        due_at,
        missed_until,
        run.task_id.map(TaskId::uuid),
        run.outcome as RunOutcome,
        run.message,
    )
    .execute(txn)
    .await?;
    Ok(())
}

async fn schedule_move_in_txn(
    txn: &mut PgConnection,
    schedule: ScheduleId,
    next_due_at: Option<DateTime<Utc>>,
    submitted: Option<TaskId>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE schedules SET next_due_at = $2, last_task_id = coalesce($3, last_task_id) WHERE id = $1",
        schedule.uuid(),
        next_due_at,
        submitted.map(TaskId::uuid),
    )
    .execute(txn)
    .await?;
    Ok(())
}
