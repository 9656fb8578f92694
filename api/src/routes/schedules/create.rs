//! POST of a schedule.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use makima_shared::domain::ScheduleSubmission;

use crate::auth::Owner;
use crate::error::{ErrorBody, ErrorResponse};
use crate::extract::{JsonBody, NoParams, Params};
use crate::openapi::Always;
use crate::state::AppState;
use crate::views::schedule::ScheduleView;

/// Make a schedule
///
/// Its first due time lies in the future. Its task must be one that could be submitted now.
#[utoipa::path(
    post,
    path = "/api/v1/schedules",
    operation_id = "scheduleCreate",
    tag = "schedules",
    security(("bearer" = [])),
    request_body = ScheduleSubmission,
    responses(
        (status = 201, description = "The schedule was accepted", body = ScheduleView,
         headers(("Location" = String, description = "The path of the schedule"))),
        (status = 400, description = "`MALFORMED_JSON`", body = ErrorBody),
        (status = 413, description = "`PAYLOAD_TOO_LARGE`: more than 1 MiB", body = ErrorBody),
        (status = 415, description = "`UNSUPPORTED_MEDIA_TYPE`", body = ErrorBody),
        Always,
        (status = 422, description = "`VALIDATION_FAILED`, `DEPENDENCY_NOT_FOUND` or `PARENT_NOT_FOUND`; `fields` names \
                                      each field", body = ErrorBody),
    )
)]
pub(crate) async fn create(
    State(state): State<AppState>,
    Owner(owner): Owner,
    _: Params<NoParams>,
    JsonBody(submission): JsonBody<ScheduleSubmission>,
) -> Result<Response, ErrorResponse> {
    let schedule = submission.check(&state.policy)?;
    let created = state.store.schedule_create(owner, &schedule).await;
    let created = created.map_err(|refusal| ErrorResponse::from(refusal).within("task"))?;
    let id = created.summary.id;
    tracing::info!(schedule.id = %id, "a schedule was made");
    let location = [(header::LOCATION, format!("/api/v1/schedules/{id}"))];
    let body = state.buffers.json(owner, &ScheduleView::from(created))?;
    Ok((StatusCode::CREATED, location, body).into_response())
}
