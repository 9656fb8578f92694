//! The word to stop a task. It is `cancelled` at once, and whatever its attempt still writes is refused; its worker is
//! told, and ends the agent.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use makima_shared::domain::Transition;
use makima_shared::store::Applied;

use crate::auth::Owner;
use crate::error::{ErrorBody, ErrorCode, ErrorResponse};
use crate::extract::{NoParams, Params, TaskPath};
use crate::openapi::Always;
use crate::state::AppState;
use crate::views::task::TaskView;

/// Stop a task
#[utoipa::path(
    post,
    path = "/api/v1/mesh/tasks/{id}/stop",
    operation_id = "taskStop",
    tag = "tasks",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The task")),
    responses(
        (status = 202, description = "The task is cancelled; its agent is being ended", body = TaskView),
        (status = 400, description = "`INVALID_ID`", body = ErrorBody),
        (status = 404, description = "`TASK_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`INVALID_STATE`: the task has ended already", body = ErrorBody),
        Always,
    )
)]
pub(crate) async fn stop(
    State(state): State<AppState>,
    Owner(owner): Owner,
    TaskPath(id): TaskPath,
    _: Params<NoParams>,
) -> Result<(StatusCode, Json<TaskView>), ErrorResponse> {
    let applied = state.store.task_transition_by_owner(owner, id, &Transition::cancelled()).await?;
    if let Applied::Moved(moved) = &applied {
        tracing::info!(task.id = %id, attempt.epoch = moved.epoch.number(), "a task was stopped by request");
        state.hints.task_stopped(id, moved);
    }
    let task = state.store.task_get(owner, id).await?.ok_or_else(|| ErrorResponse::task_not_found(id))?;
    match applied {
        Applied::Moved(_) => Ok((StatusCode::ACCEPTED, Json(TaskView::from(task)))),
        Applied::Refused => Err(ErrorResponse::new(
            ErrorCode::InvalidState,
            format!("the task is {}: there is nothing to stop", task.status),
        )),
    }
}
