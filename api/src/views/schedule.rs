//! Schedules, as clients see them.

use makima_shared::domain::{Schedule, ScheduleId, ScheduleRun, ScheduleSummary};
use makima_shared::store::SchedulePage;
use serde::Serialize;
use utoipa::ToSchema;

/// A schedule.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ScheduleView {
    #[serde(flatten)]
    schedule: Schedule,
    /// The short form of the id, which the commands of the client take.
    short_id: String,
}

impl From<Schedule> for ScheduleView {
    fn from(schedule: Schedule) -> Self {
        Self { short_id: schedule.summary.id.short(), schedule }
    }
}

/// A schedule with what came of its due times.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScheduleDetailView {
    #[serde(flatten)]
    pub(crate) schedule: ScheduleView,
    /// What came of its last 20 due times, newest first.
    pub(crate) runs: Vec<ScheduleRun>,
}

/// A page of schedules, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ScheduleListView {
    /// The schedules, without their tasks.
    schedules: Vec<ScheduleSummaryView>,
    /// What to send as `cursor` for the next page; none on the last one.
    next_cursor: Option<ScheduleId>,
}

impl From<SchedulePage> for ScheduleListView {
    fn from(page: SchedulePage) -> Self {
        let schedules = page.schedules.into_iter().map(ScheduleSummaryView::from).collect();
        Self { schedules, next_cursor: page.next }
    }
}

/// A schedule in a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ScheduleSummaryView {
    #[serde(flatten)]
    schedule: ScheduleSummary,
    /// The short form of the id.
    short_id: String,
}

impl From<ScheduleSummary> for ScheduleSummaryView {
    fn from(schedule: ScheduleSummary) -> Self {
        Self { short_id: schedule.id.short(), schedule }
    }
}
