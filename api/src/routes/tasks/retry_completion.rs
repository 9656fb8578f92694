//! The word to repeat the completion action of a task that is done.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use makima_shared::store::RetryCompletionOutcome;

use crate::auth::Owner;
use crate::error::{ErrorBody, ErrorCode, ErrorResponse};
use crate::extract::{NoParams, Params, TaskPath};
use crate::openapi::Always;
use crate::state::AppState;
use crate::views::task::TaskView;

/// Repeat a task's completion action
///
/// For a task that is done and whose `completion` says `canRetry`: it is queued again, and a worker delivers the work of its
/// last checkpoint. The agent does not run again. Whatever happens on the way, the task ends with its result, unless it is
/// stopped: `merged` if that is what it asks for and what worked, otherwise `done`; how the action went is in its
/// `completion`. Once the patch of the last checkpoint has expired there is nothing to repeat.
#[utoipa::path(
    post,
    path = "/api/v1/mesh/tasks/{id}/retry-completion",
    operation_id = "taskRetryCompletion",
    tag = "tasks",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The task")),
    responses(
        (status = 202, description = "The task is on its way", body = TaskView),
        (status = 400, description = "`INVALID_ID`", body = ErrorBody),
        (status = 404, description = "`TASK_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`INVALID_STATE`: there is nothing to retry", body = ErrorBody),
        Always,
    )
)]
pub(crate) async fn retry_completion(
    State(state): State<AppState>,
    Owner(owner): Owner,
    TaskPath(id): TaskPath,
    _: Params<NoParams>,
) -> Result<(StatusCode, Json<TaskView>), ErrorResponse> {
    let outcome = state.store.task_retry_completion(owner, id).await?;
    match outcome.ok_or_else(|| ErrorResponse::task_not_found(id))? {
        RetryCompletionOutcome::Started(news) => {
            tracing::info!(task.id = %id, "a completion is repeated by request");
            state.hints.task_touched(id, owner, news);
        }
        RetryCompletionOutcome::Refused(status) => {
            let message = format!("the task is {status}, and has no completion that could be repeated");
            return Err(ErrorResponse::new(ErrorCode::InvalidState, message));
        }
    }
    let task = state.store.task_get(owner, id).await?.ok_or_else(|| ErrorResponse::task_not_found(id))?;
    Ok((StatusCode::ACCEPTED, Json(TaskView::from(task))))
}
