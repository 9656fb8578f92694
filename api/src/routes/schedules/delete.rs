//! The end of a schedule. What it has submitted stays.

use axum::extract::State;
use axum::http::StatusCode;

use crate::auth::Owner;
use crate::error::{ErrorBody, ErrorResponse};
use crate::extract::{NoParams, Params, SchedulePath};
use crate::openapi::Always;
use crate::state::AppState;

/// Delete a schedule
///
/// With its history. The tasks that it has submitted stay, and go on.
#[utoipa::path(
    delete,
    path = "/api/v1/schedules/{id}",
    operation_id = "scheduleDelete",
    tag = "schedules",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The schedule")),
    responses(
        (status = 204, description = "The schedule is gone"),
        (status = 400, description = "`INVALID_ID`", body = ErrorBody),
        (status = 404, description = "`SCHEDULE_NOT_FOUND`", body = ErrorBody),
        Always,
    )
)]
pub(crate) async fn delete(
    State(state): State<AppState>,
    Owner(owner): Owner,
    SchedulePath(id): SchedulePath,
    _: Params<NoParams>,
) -> Result<StatusCode, ErrorResponse> {
    if !state.store.schedule_delete(owner, id).await? {
        return Err(ErrorResponse::schedule_not_found(id));
    }
    tracing::info!(schedule.id = %id, "a schedule was deleted by request");
    Ok(StatusCode::NO_CONTENT)
}
