//! Schedules and their runs as they are stored.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::{ScheduleId, TaskId, TaskSubmission};

/// What becomes of due times that passed while no scheduler was there.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "camelCase")]
#[sqlx(type_name = "missed_runs", rename_all = "snake_case")]
pub enum MissedRuns {
    /// They are skipped, all in one entry of the history.
    #[default]
    Skip,
    /// All of them together submit one task.
    RunOnce,
}

/// What came of a due time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "schedule_run_outcome", rename_all = "snake_case")]
pub enum RunOutcome {
    /// Its task was submitted.
    Submitted,
    /// It passed while no scheduler was there, and the schedule skips such times.
    SkippedMissed,
    /// The task before had not ended, and the schedule allows no overlap.
    SkippedOverlap,
    /// Its task could not be taken; the message says why.
    Refused,
}

impl RunOutcome {
    /// Returns the word used in SQL, JSON, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::SkippedMissed => "skipped_missed",
            Self::SkippedOverlap => "skipped_overlap",
            Self::Refused => "refused",
        }
    }
}

/// A schedule in a list.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleSummary {
    /// The schedule's id.
    pub id: ScheduleId,
    /// What people call it.
    pub name: String,
    /// When it is due.
    pub cron: String,
    /// The time zone that this is meant in.
    pub time_zone: String,
    /// What becomes of missed due times.
    pub missed_runs: MissedRuns,
    /// Whether its tasks may overlap.
    pub allow_overlap: bool,
    /// When it is due next; none if never again.
    pub next_due_at: Option<DateTime<Utc>>,
    /// The task that it submitted last.
    pub last_task_id: Option<TaskId>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A schedule with the task that it submits.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// All but the task.
    #[serde(flatten)]
    pub summary: ScheduleSummary,
    /// The task that each due time submits.
    pub task: TaskSubmission,
}

/// What came of a due time, or of several missed ones together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleRun {
    /// The due time; the first of several missed ones.
    pub due_at: DateTime<Utc>,
    /// Where the entry stands for several missed due times: it stands for all up to this moment.
    pub missed_until: Option<DateTime<Utc>>,
    /// What came of it.
    pub outcome: RunOutcome,
    /// Why its task was refused.
    pub message: Option<String>,
    /// The task that was submitted; none once it is deleted.
    pub task_id: Option<TaskId>,
    /// When this was decided.
    pub created_at: DateTime<Utc>,
}
