//! POST of many tasks: one transaction, and one word to Redis.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use makima_shared::domain::BulkSubmission;

use crate::auth::Submitter;
use crate::error::{ErrorBody, ErrorResponse};
use crate::extract::{IdempotencyKey, LargeJsonBody, NoParams, Params};
use crate::openapi::Always;
use crate::state::AppState;
use crate::submission::{Asked, accept};
use crate::views::bulk::BulkView;

/// Submit up to 1,000 tasks
///
/// All of them are taken, or none. `dependsOn` of one may name another by its `ref`. A request with an `Idempotency-Key` may
/// be sent again: the same key and body answer with the tasks that were made the first time, for as long as keys are kept
/// (30 days, if nobody set `retention.idempotency_days`).
#[utoipa::path(
    post,
    path = "/api/v1/mesh/tasks/bulk",
    operation_id = "taskSubmitBulk",
    tag = "tasks",
    security(("bearer" = [])),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 200 visible ASCII characters",
         min_length = 1, max_length = 200)
    ),
    request_body = BulkSubmission,
    responses(
        (status = 201, description = "The tasks were accepted", body = BulkView),
        (status = 200, description = "The tasks that the same key and body made before", body = BulkView),
        (status = 400, description = "`MALFORMED_JSON`", body = ErrorBody),
        (status = 409, description = "`IDEMPOTENCY_MISMATCH`: the key was used with another body", body = ErrorBody),
        (status = 413, description = "`PAYLOAD_TOO_LARGE`: more than 16 MiB", body = ErrorBody),
        (status = 415, description = "`UNSUPPORTED_MEDIA_TYPE`", body = ErrorBody),
        Always,
        (status = 422, description = "`VALIDATION_FAILED`, `DEPENDENCY_NOT_FOUND` or `PARENT_NOT_FOUND`; `fields` names \
                                      each field, such as `tasks[3].name`", body = ErrorBody),
        (status = 429, description = "`RATE_LIMITED`: the owner may submit so many tasks a minute, each of these counts; \
                                      `Retry-After` says when", body = ErrorBody),
    )
)]
pub(crate) async fn submit(
    State(state): State<AppState>,
    submitter: Submitter,
    _: Params<NoParams>,
    IdempotencyKey(key): IdempotencyKey,
    LargeJsonBody { value: submission, held }: LargeJsonBody<BulkSubmission>,
) -> Result<(StatusCode, Json<BulkView>), ErrorResponse> {
    let tasks = submission.check(&state.policy)?;
    let (status, ids) = accept(&state, submitter, Asked::Many(&tasks), key.as_deref()).await?;
    drop(held);
    Ok((status, Json(BulkView { ids })))
}
