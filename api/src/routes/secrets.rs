//! Secrets of an owner: set, listed by name and deleted. No route tells a value again.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use makima_shared::domain::{MAX_SECRETS_OF_OWNER, SecretSummary, SecretValue};
use makima_shared::store::SecretSet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::auth::Owner;
use crate::error::{ErrorBody, ErrorCode, ErrorResponse};
use crate::extract::{JsonBody, NoParams, Params, SecretPath};
use crate::openapi::Always;
use crate::state::AppState;

/// The value of a secret. It is told nobody again but the agents of the tasks that name it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretBody {
    /// 8 bytes to 32 KiB of text without NUL.
    #[schema(value_type = String, min_length = 8, max_length = 32768, write_only)]
    value: Zeroizing<String>,
}

/// An owner's secrets.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecretListView {
    /// All of them, by name, without their values.
    secrets: Vec<SecretSummary>,
}

/// Set a secret
///
/// It is stored encrypted. Tasks that name it in `secrets` get it into their agent's environment, the new value from
/// their next attempt on.
#[utoipa::path(
    put,
    path = "/api/v1/secrets/{name}",
    operation_id = "secretSet",
    tag = "secrets",
    security(("bearer" = [])),
    params(("name" = String, Path, description = "Letters, digits and underscores, up to 128",
            pattern = "^[A-Za-z_][A-Za-z0-9_]*$", max_length = 128)),
    request_body = SecretBody,
    responses(
        (status = 200, description = "The value was replaced", body = SecretSummary),
        (status = 201, description = "The secret was made", body = SecretSummary),
        (status = 400, description = "`MALFORMED_JSON`", body = ErrorBody),
        (status = 409, description = "`SECRETS_NOT_CONFIGURED`: the API was started without MAKIMA_SECRETS_KEY",
         body = ErrorBody),
        (status = 413, description = "`PAYLOAD_TOO_LARGE`: more than 1 MiB", body = ErrorBody),
        (status = 415, description = "`UNSUPPORTED_MEDIA_TYPE`", body = ErrorBody),
        Always,
    )
)]
pub(crate) async fn set(
    State(state): State<AppState>,
    Owner(owner): Owner,
    SecretPath(name): SecretPath,
    _: Params<NoParams>,
    JsonBody(mut body): JsonBody<SecretBody>,
) -> Result<(StatusCode, Json<SecretSummary>), ErrorResponse> {
    let Some(vault) = &state.vault else {
        let message = "secrets cannot be set: the API was started without MAKIMA_SECRETS_KEY";
        return Err(ErrorResponse::new(ErrorCode::SecretsNotConfigured, message));
    };
    let value = SecretValue::parse(std::mem::take(&mut *body.value));
    let value = value.map_err(|problem| ErrorResponse::field("value", problem))?;
    let sealed = vault.seal(owner, &name, &value);
    let answer = match state.store.secret_set(owner, &name, &sealed).await? {
        SecretSet::Created(summary) => (StatusCode::CREATED, Json(summary)),
        SecretSet::Replaced(summary) => (StatusCode::OK, Json(summary)),
        SecretSet::TooMany => {
            let problem = format!("would be one more than the {MAX_SECRETS_OF_OWNER} that an owner may have");
            return Err(ErrorResponse::field("name", problem));
        }
    };
    tracing::info!(secret.name = name, "a secret was set");
    Ok(answer)
}

/// List the secrets
///
/// Their names and times, never their values.
#[utoipa::path(
    get,
    path = "/api/v1/secrets",
    operation_id = "secretList",
    tag = "secrets",
    security(("bearer" = [])),
    responses((status = 200, description = "The secrets, by name", body = SecretListView), Always)
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    Owner(owner): Owner,
    _: Params<NoParams>,
) -> Result<Json<SecretListView>, ErrorResponse> {
    Ok(Json(SecretListView { secrets: state.store.secrets_list(owner).await? }))
}

/// Delete a secret
///
/// Tasks that name it fail with their next attempt, with `SECRET_NOT_FOUND`. An agent that runs keeps what it has.
#[utoipa::path(
    delete,
    path = "/api/v1/secrets/{name}",
    operation_id = "secretDelete",
    tag = "secrets",
    security(("bearer" = [])),
    params(("name" = String, Path, description = "The secret")),
    responses(
        (status = 204, description = "The secret is gone"),
        (status = 404, description = "`SECRET_NOT_FOUND`", body = ErrorBody),
        Always,
    )
)]
pub(crate) async fn delete(
    State(state): State<AppState>,
    Owner(owner): Owner,
    SecretPath(name): SecretPath,
    _: Params<NoParams>,
) -> Result<StatusCode, ErrorResponse> {
    if !state.store.secret_delete(owner, &name).await? {
        let message = format!("there is no secret {name}");
        return Err(ErrorResponse::new(ErrorCode::SecretNotFound, message));
    }
    tracing::info!(secret.name = name, "a secret was deleted by request");
    Ok(StatusCode::NO_CONTENT)
}
