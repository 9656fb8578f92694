//! Something that a person says to a task's agent. It is stored, and the worker is told; the agent gets it when it can.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use makima_shared::domain::{MessageId, MessageText};
use makima_shared::store::MessageError;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::auth::Owner;
use crate::error::{ErrorBody, ErrorCode, ErrorResponse};
use crate::extract::{JsonBody, NoParams, Params, TaskPath};
use crate::openapi::Always;
use crate::state::AppState;
use crate::views::message::MessageTakenView;

/// A message to a task's agent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMessage {
    /// What to say: 1 byte to 64 KiB.
    #[schema(min_length = 1, max_length = 65536, example = "Leave the tests as they are.")]
    text: String,
}

/// Say something to a task's agent
///
/// The agent gets its messages in the order of their numbers, each once in the conversation that it goes on with, also if its
/// worker dies. Claude Code takes one up while it works, after the tool that it is using; Codex when its turn has ended. What
/// comes before the agent starts waits for it. At most 100 messages wait, and a task has 1,000 at most.
#[utoipa::path(
    post,
    path = "/api/v1/mesh/tasks/{id}/message",
    operation_id = "taskMessage",
    tag = "tasks",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The task")),
    request_body = NewMessage,
    responses(
        (status = 202, description = "The message waits for the agent", body = MessageTakenView),
        (status = 400, description = "`INVALID_ID` or `MALFORMED_JSON`", body = ErrorBody),
        (status = 404, description = "`TASK_NOT_FOUND`", body = ErrorBody),
        (
            status = 409,
            description = "`INVALID_STATE`: the task has ended; `MESSAGES_NOT_TAKEN`: its kind of agent takes none; \
                           `TOO_MANY_MESSAGES`",
            body = ErrorBody
        ),
        (status = 413, description = "`PAYLOAD_TOO_LARGE`", body = ErrorBody),
        (status = 415, description = "`UNSUPPORTED_MEDIA_TYPE`", body = ErrorBody),
        Always,
    )
)]
pub(crate) async fn message(
    State(state): State<AppState>,
    Owner(owner): Owner,
    TaskPath(id): TaskPath,
    _: Params<NoParams>,
    JsonBody(NewMessage { text }): JsonBody<NewMessage>,
) -> Result<(StatusCode, Json<MessageTakenView>), ErrorResponse> {
    let text = MessageText::new(text).map_err(|problem| ErrorResponse::from(vec![problem]))?;
    let name = MessageId::new();
    let taken = state.store.message_add(owner, id, name, &text).await.map_err(|error| match error {
        MessageError::NotFound => ErrorResponse::task_not_found(id),
        MessageError::Ended(status) => ErrorResponse::new(
            ErrorCode::InvalidState,
            format!("the task is {status}: its agent takes no more messages"),
        ),
        MessageError::NotTaken => {
            ErrorResponse::new(ErrorCode::MessagesNotTaken, "a command takes no messages: only clients do")
        }
        MessageError::TooManyWaiting | MessageError::TooMany => {
            ErrorResponse::new(ErrorCode::TooManyMessages, error.to_string())
        }
        MessageError::Store(error) => error.into(),
    })?;
    tracing::info!(task.id = %id, message.number = taken.number, "a message to an agent was taken");
    state.hints.message_taken(id, taken);
    Ok((StatusCode::ACCEPTED, Json(MessageTakenView { number: taken.number, id: name })))
}
