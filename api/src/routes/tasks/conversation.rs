//! What a task's agent and its model said to each other.

use axum::extract::State;
use axum::response::Response;

use super::events::PageParams;
use crate::auth::Owner;
use crate::error::{ErrorBody, ErrorResponse};
use crate::extract::{Params, TaskPath, check_after, check_limit};
use crate::openapi::Always;
use crate::state::AppState;
use crate::views::conversation::ConversationView;

/// Read the conversation of a task's agent
///
/// As it was saved with the newest checkpoint: what a client such as Claude Code goes on with if its worker dies. `after` counts
/// messages. A command has none.
#[utoipa::path(
    get,
    path = "/api/v1/mesh/tasks/{id}/conversation",
    operation_id = "taskConversation",
    tag = "tasks",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The task"), PageParams),
    responses(
        (status = 200, description = "Messages in order", body = ConversationView),
        (status = 400, description = "`INVALID_ID`", body = ErrorBody),
        (status = 404, description = "`TASK_NOT_FOUND`", body = ErrorBody),
        Always,
    )
)]
pub(crate) async fn conversation(
    State(state): State<AppState>,
    Owner(owner): Owner,
    TaskPath(id): TaskPath,
    Params(params): Params<PageParams>,
) -> Result<Response, ErrorResponse> {
    let after = check_after(params.after)?;
    let limit = check_limit(params.limit, PageParams::DEFAULT_LIMIT, PageParams::MAX_LIMIT)?;
    let Some(saved) = state.store.conversation_last(owner, id).await? else {
        let known = state.store.task_status(owner, id).await?;
        known.ok_or_else(|| ErrorResponse::task_not_found(id))?;
        return state.buffers.json(owner, &ConversationView::empty(after));
    };
    let reading = move || ConversationView::read(&saved, after, limit as usize);
    let read = tokio::task::spawn_blocking(reading).await.map_err(|error| ErrorResponse::internal(&error))?;
    let view = read.map_err(|error| ErrorResponse::internal(&error))?;
    state.buffers.json(owner, &view)
}
