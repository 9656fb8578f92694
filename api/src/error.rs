//! Errors as HTTP. Nothing else of makima knows status codes.
//!
//! An error that nobody foresaw is logged once, with its causes and an id; the client gets that id and nothing of the
//! inside.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use makima_shared::domain::{FieldError, ScheduleId, TaskId, WorkerId};
use makima_shared::store::{StoreError, SubmitError};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// What went wrong, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ErrorCode {
    /// 400: an id of the path is no UUID, or a number is none.
    InvalidId,
    /// 400: the body is no JSON.
    MalformedJson,
    /// 401: the key is missing, unknown or revoked.
    Unauthorized,
    /// 404: the owner has no such task.
    TaskNotFound,
    /// 404: the owner has no such schedule.
    ScheduleNotFound,
    /// 404: the owner has no such secret.
    SecretNotFound,
    /// 404: there is no such worker.
    WorkerNotFound,
    /// 404: the task has no such checkpoint, or its patch has expired.
    CheckpointNotFound,
    /// 404: there is no such route.
    NotFound,
    /// 405: the route exists, but not with this method.
    MethodNotAllowed,
    /// 409: the task is not in a status that allows it.
    InvalidState,
    /// 409: the idempotency key was used before, with another body.
    IdempotencyMismatch,
    /// 409: the task has changed since the version that the change was made for.
    VersionConflict,
    /// 409: pending tasks wait for the task.
    HasDependents,
    /// 409: the task's kind of agent takes no messages.
    MessagesNotTaken,
    /// 409: as many messages as may wait for the task's agent, or as the task may have.
    TooManyMessages,
    /// 409: the API was started without a key that seals secrets.
    SecretsNotConfigured,
    /// 413: the body is larger than 1 MiB; that of a bulk submission than 16 MiB.
    PayloadTooLarge,
    /// 415: the body is not declared as JSON.
    UnsupportedMediaType,
    /// 422: a field cannot be taken; `fields` names each.
    ValidationFailed,
    /// 422: the owner has no task that `dependsOn` names.
    DependencyNotFound,
    /// 422: the owner has no task that `parentTaskId` names.
    ParentNotFound,
    /// 422: a task that `dependsOn` names waits for the task itself.
    DependencyCycle,
    /// 429: the owner has submitted as many tasks as it may for now.
    RateLimited,
    /// 500: a bug; the message carries the id that the logs know it by.
    Internal,
    /// 503: PostgreSQL cannot be reached right now.
    StoreUnavailable,
    /// 503: as many event streams are open as the process serves, or as one owner may have.
    TooManyStreams,
    /// 503: requests and answers under way hold as many bytes as the process may, or as it may for one owner.
    Overloaded,
    /// 503: the request took too long; whether it was carried out is not known.
    RequestTimeout,
}

impl ErrorCode {
    fn status(self) -> StatusCode {
        match self {
            Self::InvalidId | Self::MalformedJson => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::TaskNotFound
            | Self::ScheduleNotFound
            | Self::SecretNotFound
            | Self::WorkerNotFound
            | Self::CheckpointNotFound
            | Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::InvalidState
            | Self::IdempotencyMismatch
            | Self::VersionConflict
            | Self::HasDependents
            | Self::MessagesNotTaken
            | Self::TooManyMessages
            | Self::SecretsNotConfigured => StatusCode::CONFLICT,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::ValidationFailed
            | Self::DependencyNotFound
            | Self::ParentNotFound
            | Self::DependencyCycle => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::StoreUnavailable | Self::TooManyStreams | Self::Overloaded | Self::RequestTimeout => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}

/// The body of every answer that is an error.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// What went wrong.
    error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorDetail {
    /// For programs.
    code: ErrorCode,
    /// For people.
    message: String,
    /// The fields that cannot be taken, where it is about fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    fields: Vec<FieldError>,
    /// The version that the request was made for, with `VERSION_CONFLICT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i32, required = false)]
    expected_version: Option<i32>,
    /// The version that the task is at, with `VERSION_CONFLICT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i32, required = false)]
    actual_version: Option<i32>,
    /// When to try again, where that is known better than "in a moment".
    #[serde(skip)]
    retry_after_secs: Option<u64>,
}

/// An answer that says what went wrong.
#[derive(Debug)]
pub(crate) struct ErrorResponse(Box<ErrorDetail>);

impl ErrorResponse {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(Box::new(ErrorDetail {
            code,
            message: message.into(),
            fields: Vec::new(),
            expected_version: None,
            actual_version: None,
            retry_after_secs: None,
        }))
    }

    /// Names the fields that cannot be taken.
    pub(crate) fn of_fields(code: ErrorCode, fields: Vec<FieldError>) -> Self {
        let sentence = |error: &FieldError| format!("{} {}", error.field, error.problem);
        let message = fields.iter().map(sentence).collect::<Vec<_>>().join("; ");
        let mut response = Self::new(code, message);
        response.0.fields = fields;
        response
    }

    /// Names the one field that cannot be taken.
    pub(crate) fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::from(vec![FieldError::new(field, problem)])
    }

    /// Says that a task asks for a secret that its owner does not have.
    pub(crate) fn named_secret_not_found(name: &str) -> Self {
        Self::field("secrets", format!("names {name}, which is no secret: set it first"))
    }

    /// Answers alike for a task that does not exist and for another owner's.
    pub(crate) fn task_not_found(id: TaskId) -> Self {
        Self::new(ErrorCode::TaskNotFound, format!("there is no task {id}"))
    }

    /// Answers alike for a schedule that does not exist and for another owner's.
    pub(crate) fn schedule_not_found(id: ScheduleId) -> Self {
        Self::new(ErrorCode::ScheduleNotFound, format!("there is no schedule {id}"))
    }

    pub(crate) fn worker_not_found(id: WorkerId) -> Self {
        Self::new(ErrorCode::WorkerNotFound, format!("there is no worker {id}"))
    }

    /// Names the fields as parts of an outer one.
    pub(crate) fn within(self, outer: &str) -> Self {
        if self.0.fields.is_empty() {
            return self;
        }
        let inner = |error: FieldError| FieldError::new(format!("{outer}.{}", error.field), error.problem);
        Self::of_fields(self.0.code, self.0.fields.into_iter().map(inner).collect())
    }

    /// Says which version the task is at.
    pub(crate) fn version_conflict(expected: i32, actual: i32) -> Self {
        let message = format!(
            "the change was made for version {expected} of the task, which is at version {actual}: look at it again"
        );
        let mut response = Self::new(ErrorCode::VersionConflict, message);
        response.0.expected_version = Some(expected);
        response.0.actual_version = Some(actual);
        response
    }

    /// Says when to try again.
    pub(crate) fn rate_limited(message: String, retry_after_secs: u64) -> Self {
        let mut response = Self::new(ErrorCode::RateLimited, message);
        response.0.retry_after_secs = Some(retry_after_secs);
        response
    }

    /// Logs an error that nobody foresaw, and answers with the id that it is logged under.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        Self::internal_because(&chain(error))
    }

    /// As [`ErrorResponse::internal`], for causes in words.
    pub(crate) fn internal_because(cause: &str) -> Self {
        let id = Uuid::now_v7();
        tracing::error!(error.id = %id, error.cause = cause, "a request failed by a fault of the server");
        Self::new(ErrorCode::Internal, format!("the server failed; its logs know this error as {id}"))
    }
}

/// Writes an error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        let status = self.0.code.status();
        let retry_after = match (self.0.retry_after_secs, status) {
            (None, StatusCode::SERVICE_UNAVAILABLE) => Some(1),
            (seconds, _) => seconds,
        };
        let mut response = (status, Json(ErrorBody { error: *self.0 })).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

impl From<Vec<FieldError>> for ErrorResponse {
    fn from(fields: Vec<FieldError>) -> Self {
        Self::of_fields(ErrorCode::ValidationFailed, fields)
    }
}

impl From<StoreError> for ErrorResponse {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(_) => {
                tracing::warn!(error.cause = chain(&error), "PostgreSQL is away");
                Self::new(
                    ErrorCode::StoreUnavailable,
                    "the store is unavailable: try again. Whether a write was taken is not known, so repeat a submission \
                     with its Idempotency-Key",
                )
            }
            StoreError::Database(_) | StoreError::Migration(_) => Self::internal(&error),
        }
    }
}

impl From<SubmitError> for ErrorResponse {
    fn from(error: SubmitError) -> Self {
        let missing =
            |field: &str, id: TaskId| vec![FieldError::new(field, format!("names {id}, which is no task"))];
        match error {
            SubmitError::IdempotencyMismatch => Self::new(
                ErrorCode::IdempotencyMismatch,
                "this Idempotency-Key was used before, with another body: use a new key for a new task",
            ),
            SubmitError::DependencyNotFound(id) => {
                Self::of_fields(ErrorCode::DependencyNotFound, missing("dependsOn", id))
            }
            SubmitError::ParentNotFound(id) => {
                Self::of_fields(ErrorCode::ParentNotFound, missing("parentTaskId", id))
            }
            SubmitError::SourceNotFound(id) => missing("continueFromTaskId", id).into(),
            SubmitError::SourceElsewhere(id) => {
                let problem = format!("names {id}, which works on another repository");
                Self::field("continueFromTaskId", problem)
            }
            SubmitError::SourceCheckpointNotFound(id) => {
                Self::field("checkpointSha", format!("is the tree of no checkpoint of {id}"))
            }
            SubmitError::SecretNotFound(name) => Self::named_secret_not_found(&name),
            SubmitError::Store(error) => error.into(),
        }
    }
}
