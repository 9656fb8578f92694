//! One schedule with what came of its due times.

use axum::extract::State;
use axum::response::Response;

use crate::auth::Owner;
use crate::error::{ErrorBody, ErrorResponse};
use crate::extract::{NoParams, Params, SchedulePath};
use crate::openapi::Always;
use crate::state::AppState;
use crate::views::schedule::{ScheduleDetailView, ScheduleView};

/// How many runs are shown with a schedule.
const RUNS: u32 = 20;

/// Show a schedule
///
/// With the task that it submits, and what came of its last 20 due times.
#[utoipa::path(
    get,
    path = "/api/v1/schedules/{id}",
    operation_id = "scheduleShow",
    tag = "schedules",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The schedule")),
    responses(
        (status = 200, description = "The schedule", body = ScheduleDetailView),
        (status = 400, description = "`INVALID_ID`", body = ErrorBody),
        (status = 404, description = "`SCHEDULE_NOT_FOUND`", body = ErrorBody),
        Always,
    )
)]
pub(crate) async fn show(
    State(state): State<AppState>,
    Owner(owner): Owner,
    SchedulePath(id): SchedulePath,
    _: Params<NoParams>,
) -> Result<Response, ErrorResponse> {
    let schedule = state.store.schedule_get(owner, id).await?;
    let schedule = schedule.ok_or_else(|| ErrorResponse::schedule_not_found(id))?;
    let runs = state.store.schedule_runs(owner, id, RUNS).await?;
    state.buffers.json(owner, &ScheduleDetailView { schedule: ScheduleView::from(schedule), runs })
}
