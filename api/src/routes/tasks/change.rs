//! PUT of a task: what may still change.

use axum::Json;
use axum::extract::State;
use makima_shared::domain::{FieldError, TaskChanges, TaskId};
use makima_shared::store::ChangeError;

use crate::auth::Owner;
use crate::error::{ErrorBody, ErrorCode, ErrorResponse};
use crate::extract::{JsonBody, NoParams, Params, TaskPath};
use crate::openapi::Always;
use crate::state::AppState;
use crate::views::task::TaskView;

/// Change a task
///
/// What is absent stays as it is, `null` takes away what a task may be without; `version` is the one that the change was made
/// for. `name` and `description` may always change; `priority`, `labels` and `contractId` until the task has ended (while it
/// runs, for its next attempt); the others while no worker has it; `dependsOn` and `runAt` only while it is pending.
#[utoipa::path(
    put,
    path = "/api/v1/mesh/tasks/{id}",
    operation_id = "taskChange",
    tag = "tasks",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The task")),
    request_body = TaskChanges,
    responses(
        (status = 200, description = "The task as it is now", body = TaskView),
        (status = 400, description = "`INVALID_ID` or `MALFORMED_JSON`", body = ErrorBody),
        (status = 404, description = "`TASK_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`VERSION_CONFLICT`: the task has changed since, `actualVersion` says what it is at; \
                                      `INVALID_STATE`: `fields` names what cannot change now", body = ErrorBody),
        (status = 413, description = "`PAYLOAD_TOO_LARGE`: more than 1 MiB", body = ErrorBody),
        (status = 415, description = "`UNSUPPORTED_MEDIA_TYPE`", body = ErrorBody),
        Always,
        (status = 422, description = "`VALIDATION_FAILED`, `DEPENDENCY_NOT_FOUND` or `DEPENDENCY_CYCLE`; `fields` names \
                                      each field", body = ErrorBody),
    )
)]
pub(crate) async fn change(
    State(state): State<AppState>,
    Owner(owner): Owner,
    TaskPath(id): TaskPath,
    _: Params<NoParams>,
    JsonBody(changes): JsonBody<TaskChanges>,
) -> Result<Json<TaskView>, ErrorResponse> {
    let expected = changes.version;
    let changes = changes.check(&state.policy)?;
    let changed = state.store.task_change(owner, id, &changes).await;
    if let Some(news) = changed.map_err(|error| refusal(id, expected, error))? {
        tracing::info!(task.id = %id, "a task was changed by request");
        state.hints.task_touched(id, owner, news);
    }
    let task = state.store.task_get(owner, id).await?.ok_or_else(|| ErrorResponse::task_not_found(id))?;
    Ok(Json(TaskView::from(task)))
}

fn refusal(id: TaskId, expected: i32, error: ChangeError) -> ErrorResponse {
    let dependency =
        |code, problem: String| ErrorResponse::of_fields(code, vec![FieldError::new("dependsOn", problem)]);
    match error {
        ChangeError::NotFound => ErrorResponse::task_not_found(id),
        ChangeError::VersionConflict { actual } => ErrorResponse::version_conflict(expected, actual),
        ChangeError::NotNow { status: _, fields } => {
            ErrorResponse::of_fields(ErrorCode::InvalidState, fields)
        }
        ChangeError::Unfit(field) => ErrorResponse::from(vec![field]),
        ChangeError::DependencyNotFound(parent) => {
            dependency(ErrorCode::DependencyNotFound, format!("names {parent}, which is no task"))
        }
        ChangeError::DependencyCycle(parent) => {
            let problem = format!("names {parent}, which waits for the task itself: neither could ever run");
            dependency(ErrorCode::DependencyCycle, problem)
        }
        ChangeError::SecretNotFound(name) => ErrorResponse::named_secret_not_found(&name),
        ChangeError::Store(error) => error.into(),
    }
}
