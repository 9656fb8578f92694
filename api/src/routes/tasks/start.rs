//! The word to start a task: at once, or again.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use makima_shared::domain::DependencyState;
use makima_shared::store::StartOutcome;

use crate::auth::Owner;
use crate::error::{ErrorBody, ErrorCode, ErrorResponse};
use crate::extract::{NoParams, Params, TaskPath};
use crate::openapi::Always;
use crate::state::AppState;
use crate::views::task::{TaskView, named};

/// Start a task at once, or again
///
/// A pending task runs now, whatever its `runAt` or back-off is, once nothing that it depends on is open. One that has ended,
/// or was interrupted, runs again with all of its retries: after a good end anew from the newest commit of its base branch,
/// otherwise from its last checkpoint. What it depends on is counted afresh, and pending tasks that depend on it wait for it
/// again. A task that is queued or runs is left as it is.
#[utoipa::path(
    post,
    path = "/api/v1/mesh/tasks/{id}/start",
    operation_id = "taskStart",
    tag = "tasks",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The task")),
    responses(
        (status = 202, description = "The task is on its way", body = TaskView),
        (status = 400, description = "`INVALID_ID`", body = ErrorBody),
        (status = 404, description = "`TASK_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`INVALID_STATE`: it depends on tasks that are not done, or is paused", body = ErrorBody),
        Always,
    )
)]
pub(crate) async fn start(
    State(state): State<AppState>,
    Owner(owner): Owner,
    TaskPath(id): TaskPath,
    _: Params<NoParams>,
) -> Result<(StatusCode, Json<TaskView>), ErrorResponse> {
    let outcome =
        state.store.task_start(owner, id).await?.ok_or_else(|| ErrorResponse::task_not_found(id))?;
    match outcome {
        StartOutcome::Started(news) => {
            tracing::info!(task.id = %id, "a task was started by request");
            state.hints.task_touched(id, owner, news);
        }
        StartOutcome::Underway => {}
        StartOutcome::Blocked(open) => return Err(blocked(&open)),
        StartOutcome::Refused(status) => {
            let message = format!("the task is {status}: it cannot be started");
            return Err(ErrorResponse::new(ErrorCode::InvalidState, message));
        }
    }
    let task = state.store.task_get(owner, id).await?.ok_or_else(|| ErrorResponse::task_not_found(id))?;
    Ok((StatusCode::ACCEPTED, Json(TaskView::from(task))))
}

fn blocked(open: &[DependencyState]) -> ErrorResponse {
    let message = if open.is_empty() {
        "what the task depends on is about to be counted: try again".to_owned()
    } else {
        format!("the task depends on tasks that are not done: {}", named(open))
    };
    ErrorResponse::new(ErrorCode::InvalidState, message)
}
