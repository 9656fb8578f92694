//! DELETE of a task. Its worker is told, and whatever its attempt still writes is refused.

use axum::extract::State;
use axum::http::StatusCode;
use makima_shared::store::DeleteError;

use crate::auth::Owner;
use crate::error::{ErrorBody, ErrorCode, ErrorResponse};
use crate::extract::{NoParams, Params, TaskPath};
use crate::openapi::Always;
use crate::state::AppState;
use crate::views::task::named;

/// Delete a task
///
/// With its history, output and checkpoints; if it runs, it is stopped. Not while a pending task waits for it: stop, delete or
/// change that one first. Its subtasks stay, as tasks by themselves, and so does a branch that it has pushed.
#[utoipa::path(
    delete,
    path = "/api/v1/mesh/tasks/{id}",
    operation_id = "taskDelete",
    tag = "tasks",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The task")),
    responses(
        (status = 204, description = "The task is gone"),
        (status = 400, description = "`INVALID_ID`", body = ErrorBody),
        (status = 404, description = "`TASK_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`HAS_DEPENDENTS`: pending tasks wait for it; the message names some",
         body = ErrorBody),
        Always,
    )
)]
pub(crate) async fn delete(
    State(state): State<AppState>,
    Owner(owner): Owner,
    TaskPath(id): TaskPath,
    _: Params<NoParams>,
) -> Result<StatusCode, ErrorResponse> {
    let deleted = state.store.task_delete(owner, id).await.map_err(|error| match error {
        DeleteError::NotFound => ErrorResponse::task_not_found(id),
        DeleteError::HasDependents(tasks) => ErrorResponse::new(
            ErrorCode::HasDependents,
            format!("pending tasks wait for it: {}", named(&tasks)),
        ),
        DeleteError::Store(error) => error.into(),
    })?;
    tracing::info!(task.id = %id, attempt.epoch = deleted.epoch.number(), "a task was deleted by request");
    state.hints.task_deleted(id, owner, deleted);
    Ok(StatusCode::NO_CONTENT)
}
