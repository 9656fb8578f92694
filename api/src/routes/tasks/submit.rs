//! POST of a task. It is accepted once its row is committed; Redis hears of it after that.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use makima_shared::domain::{Task, TaskSubmission};

use crate::auth::Submitter;
use crate::error::{ErrorBody, ErrorResponse};
use crate::extract::{IdempotencyKey, JsonBody, NoParams, Params};
use crate::openapi::Always;
use crate::state::AppState;
use crate::submission::{Asked, accept};
use crate::views::task::TaskView;

type Answer = (StatusCode, [(HeaderName, String); 1], Json<TaskView>);

/// Submit a task
///
/// A submission with an `Idempotency-Key` may be sent again: the same key and body answer with the task that was made
/// the first time, for as long as keys are kept (30 days, if nobody set `retention.idempotency_days`).
#[utoipa::path(
    post,
    path = "/api/v1/mesh/tasks",
    operation_id = "taskSubmit",
    tag = "tasks",
    security(("bearer" = [])),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 200 visible ASCII characters",
         min_length = 1, max_length = 200)
    ),
    request_body = TaskSubmission,
    responses(
        (status = 201, description = "The task was accepted", body = TaskView,
         headers(("Location" = String, description = "The path of the task"))),
        (status = 200, description = "The task that the same key and body made before", body = TaskView,
         headers(("Location" = String, description = "The path of the task"))),
        (status = 400, description = "`MALFORMED_JSON`", body = ErrorBody),
        (status = 409, description = "`IDEMPOTENCY_MISMATCH`: the key was used with another body", body = ErrorBody),
        (status = 413, description = "`PAYLOAD_TOO_LARGE`: more than 1 MiB", body = ErrorBody),
        (status = 415, description = "`UNSUPPORTED_MEDIA_TYPE`", body = ErrorBody),
        Always,
        (status = 422, description = "`VALIDATION_FAILED`, `DEPENDENCY_NOT_FOUND` or `PARENT_NOT_FOUND`; `fields` names \
                                      each field", body = ErrorBody),
        (status = 429, description = "`RATE_LIMITED`: the owner may submit so many tasks a minute; `Retry-After` says when",
         body = ErrorBody),
    )
)]
pub(crate) async fn submit(
    State(state): State<AppState>,
    submitter: Submitter,
    _: Params<NoParams>,
    IdempotencyKey(key): IdempotencyKey,
    JsonBody(submission): JsonBody<TaskSubmission>,
) -> Result<Answer, ErrorResponse> {
    let task = submission.check(&state.policy)?;
    let (status, ids) = accept(&state, submitter, Asked::One(&task), key.as_deref()).await?;
    let id = ids.first().copied();
    let id = id.ok_or_else(|| ErrorResponse::internal_because("a submission made no task"))?;
    let task = state.store.task_get(submitter.owner, id).await?;
    Ok(answer(status, task.ok_or_else(|| ErrorResponse::task_not_found(id))?))
}

fn answer(status: StatusCode, task: Task) -> Answer {
    let location = format!("/api/v1/mesh/tasks/{}", task.id);
    (status, [(header::LOCATION, location)], Json(TaskView::from(task)))
}
