//! What was said to a task's agent, and what of it has arrived.

use axum::extract::State;
use axum::response::Response;

use super::events::PageParams;
use crate::auth::Owner;
use crate::error::{ErrorBody, ErrorResponse};
use crate::extract::{Params, TaskPath, check_after, check_limit};
use crate::openapi::Always;
use crate::state::AppState;
use crate::views::message::MessagesView;

/// List the messages to a task's agent
///
/// In order, with when the agent took each one up. `after` takes the number of a message.
#[utoipa::path(
    get,
    path = "/api/v1/mesh/tasks/{id}/messages",
    operation_id = "taskMessages",
    tag = "tasks",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The task"), PageParams),
    responses(
        (status = 200, description = "Messages in order", body = MessagesView),
        (status = 400, description = "`INVALID_ID`", body = ErrorBody),
        (status = 404, description = "`TASK_NOT_FOUND`", body = ErrorBody),
        Always,
    )
)]
pub(crate) async fn messages(
    State(state): State<AppState>,
    Owner(owner): Owner,
    TaskPath(id): TaskPath,
    Params(params): Params<PageParams>,
) -> Result<Response, ErrorResponse> {
    let after = check_after(params.after)?;
    let limit = check_limit(params.limit, PageParams::DEFAULT_LIMIT, PageParams::MAX_LIMIT)?;
    let messages = state.store.messages_list(owner, id, after, i64::from(limit)).await?;
    let messages = messages.ok_or_else(|| ErrorResponse::task_not_found(id))?;
    state.buffers.json(owner, &MessagesView::new(messages, after))
}
