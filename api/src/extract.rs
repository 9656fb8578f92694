//! What is read from requests, and how it is refused: ids, queries, JSON bodies and headers.
//!
//! Fields and parameters that are unknown are refused, and whatever is wrong is named.

use std::error::Error;
use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use makima_shared::domain::{ScheduleId, TaskId, WorkerId, is_hidden, is_secret_name};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::auth::Owner;
use crate::error::{ErrorCode, ErrorResponse};
use crate::shares::Share;
use crate::state::AppState;

/// The largest body that is read, in bytes.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;
/// The largest body that a [`LargeJsonBody`] reads, in bytes.
const MAX_LARGE_BODY_BYTES: usize = 16 * 1024 * 1024;
/// The longest description of a problem; serde's may repeat what was sent.
const MAX_PROBLEM_CHARS: usize = 200;

/// The task that the path names.
#[derive(Clone, Copy)]
pub(crate) struct TaskPath(pub(crate) TaskId);

/// The schedule that the path names.
#[derive(Clone, Copy)]
pub(crate) struct SchedulePath(pub(crate) ScheduleId);

/// The name of a secret in the path.
pub(crate) struct SecretPath(pub(crate) String);

/// The worker that the path names.
#[derive(Clone, Copy)]
pub(crate) struct WorkerPath(pub(crate) WorkerId);

/// The checkpoint that the path names.
#[derive(Clone, Copy)]
pub(crate) struct CheckpointPath(pub(crate) TaskId, pub(crate) i32);

impl<S: Send + Sync> FromRequestParts<S> for TaskPath {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorResponse> {
        let Path(id) = Path::<String>::from_request_parts(parts, state).await.map_err(unreadable_path)?;
        read_id(&id).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SchedulePath {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorResponse> {
        let Path(id) = Path::<String>::from_request_parts(parts, state).await.map_err(unreadable_path)?;
        read_id(&id).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SecretPath {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorResponse> {
        let Path(name) = Path::<String>::from_request_parts(parts, state).await.map_err(unreadable_path)?;
        if is_secret_name(&name) {
            Ok(Self(name))
        } else {
            let problem = "must be letters, digits and underscores, up to 128, and not begin with a digit";
            Err(ErrorResponse::field("name", problem))
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WorkerPath {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorResponse> {
        let Path(id) = Path::<String>::from_request_parts(parts, state).await.map_err(unreadable_path)?;
        read_id(&id).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CheckpointPath {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorResponse> {
        let Path((id, number)) =
            Path::<(String, String)>::from_request_parts(parts, state).await.map_err(unreadable_path)?;
        let task = read_id(&id)?;
        let number = number.parse().map_err(|_no_number| {
            invalid_id(format!("'{}' is no number of a checkpoint: they count from 1", shorten(&number)))
        })?;
        Ok(Self(task, number))
    }
}

fn unreadable_path(_refused: axum::extract::rejection::PathRejection) -> ErrorResponse {
    invalid_id("the path is no UTF-8".to_owned())
}

fn read_id<T: FromStr>(text: &str) -> Result<T, ErrorResponse> {
    text.parse().map_err(|_no_uuid| {
        invalid_id(format!(
            "'{}' is no id: ids look like 01890a5d-ac96-774b-bcce-b302099a8057",
            shorten(text)
        ))
    })
}

fn invalid_id(message: String) -> ErrorResponse {
    ErrorResponse::new(ErrorCode::InvalidId, message)
}

/// The query, as `T` understands it.
pub(crate) struct Params<T>(pub(crate) T);

/// A query that must be empty.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoParams {}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ErrorResponse> {
        let Query(query) = Query::try_from_uri(&parts.uri).map_err(|refused| {
            let located =
                std::iter::successors(refused.source(), |&cause| cause.source()).find_map(|cause| {
                    cause.downcast_ref::<serde_path_to_error::Error<serde::de::value::Error>>()
                });
            match located {
                Some(error) => {
                    located_problem(&error.path().to_string(), &error.inner().to_string(), "the query")
                }
                None => ErrorResponse::field("query", shorten(&refused.body_text())),
            }
        })?;
        Ok(Self(query))
    }
}

/// A JSON body. Only who sends a good key has it read.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<AppState> for JsonBody<T> {
    type Rejection = ErrorResponse;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ErrorResponse> {
        let (body, _held) = read_body(request, state, MAX_BODY_BYTES).await?;
        read_json(&body).map(Self)
    }
}

/// A JSON body of up to 16 MiB. It counts as held until the request is answered: what is made of it is as large.
pub(crate) struct LargeJsonBody<T> {
    pub(crate) value: T,
    pub(crate) held: Share,
}

impl<T: DeserializeOwned + Send + 'static> FromRequest<AppState> for LargeJsonBody<T> {
    type Rejection = ErrorResponse;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ErrorResponse> {
        let (body, held) = read_body(request, state, MAX_LARGE_BODY_BYTES).await?;
        if body.len() <= MAX_BODY_BYTES {
            return Ok(Self { value: read_json(&body)?, held });
        }
        // Reading 16 MiB takes 40 ms: others go on meanwhile.
        let reading = tokio::task::spawn_blocking(move || read_json(&body));
        let value = reading.await.map_err(|error| ErrorResponse::internal(&error))??;
        Ok(Self { value, held })
    }
}

/// Reads the body of somebody with a good key, and counts it.
async fn read_body(request: Request, state: &AppState, most: usize) -> Result<(Bytes, Share), ErrorResponse> {
    let (mut parts, body) = request.into_parts();
    let Owner(owner) = Owner::from_request_parts(&mut parts, state).await?;
    if !is_json(&parts.headers) {
        return Err(ErrorResponse::new(
            ErrorCode::UnsupportedMediaType,
            "send the body with Content-Type: application/json",
        ));
    }
    let held = state.buffers.reserve(owner, announced_bytes(&parts.headers, most))?;
    let mut request = Request::from_parts(parts, body);
    DefaultBodyLimit::max(most).apply(&mut request);
    let body = Bytes::from_request(request, state).await.map_err(|refused| {
        if refused.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let message = format!("the body is larger than {} MiB", most / MAX_BODY_BYTES);
            ErrorResponse::new(ErrorCode::PayloadTooLarge, message)
        } else {
            malformed("the body ended before its time")
        }
    })?;
    Ok((body, held))
}

/// Returns how many bytes a body will take at most.
fn announced_bytes(headers: &HeaderMap, most: usize) -> usize {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    length.unwrap_or(most).min(most)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ErrorResponse> {
    // serde would fill a struct from an array too, field by field.
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        serde_json::from_slice::<IgnoredAny>(body).map_err(|error| malformed(&error.to_string()))?;
        return Err(ErrorResponse::new(ErrorCode::ValidationFailed, "the body must be a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        if cause.is_data() {
            located_problem(&path, &cause.to_string(), "the body")
        } else {
            malformed(&cause.to_string())
        }
    })?;
    reader.end().map_err(|error| malformed(&error.to_string()))?;
    Ok(value)
}

fn malformed(problem: &str) -> ErrorResponse {
    ErrorResponse::new(ErrorCode::MalformedJson, format!("the body is no JSON: {}", shorten(problem)))
}

/// Says in words what serde found at `path`. Where the path leads to the object around a field, serde's words name it.
fn located_problem(path: &str, message: &str, whole: &str) -> ErrorResponse {
    // The place in the text, which serde_json appends, says less than the field.
    let message = message.split(" at line ").next().unwrap_or(message);
    let named = |start: &str| message.strip_prefix(start).and_then(|rest| rest.split('`').next());
    let inside = |name: &str| match path {
        "." | "" => name.to_owned(),
        path if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
        path => format!("{path}.{name}"),
    };
    if let Some(name) = named("unknown field `") {
        return ErrorResponse::field(shorten(&inside(name)), "is unknown");
    }
    if let Some(name) = named("missing field `") {
        return ErrorResponse::field(shorten(&inside(name)), "is missing");
    }
    if let Some(name) = named("duplicate field `") {
        return ErrorResponse::field(shorten(&inside(name)), "is given twice");
    }
    let field = if matches!(path, "." | "") { whole } else { path };
    ErrorResponse::field(shorten(field), format!("cannot be taken: {}", shorten(message)))
}

fn shorten(text: &str) -> String {
    text.chars().filter(|c| !is_hidden(*c)).take(MAX_PROBLEM_CHARS).collect()
}

/// The header that makes a submission safe to repeat.
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ErrorResponse> {
        let mut values = parts.headers.get_all("idempotency-key").iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        let bytes = value.as_bytes();
        let legal = (1..=200).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
        match value.to_str() {
            Ok(key) if legal && values.next().is_none() => Ok(Self(Some(key.to_owned()))),
            _ => Err(ErrorResponse::field(
                "Idempotency-Key",
                "must be one word of 1 to 200 visible ASCII characters",
            )),
        }
    }
}

/// Tells whether a client asks for a media type by its name.
pub(crate) fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let listed = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = listed.flat_map(|list| list.split(',')).filter_map(|entry| entry.split(';').next());
    types.any(|entry| entry.trim().eq_ignore_ascii_case(media_type))
}

/// Tells whether a client can read an answer in an encoding.
pub(crate) fn accepts_encoding(headers: &HeaderMap, encoding: &str) -> bool {
    let listed = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    listed.flat_map(|list| list.split(',')).any(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        // A weight of nought refuses it.
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        is_named && weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0))
    })
}

/// Checks a number of the query that says how much is wanted.
pub(crate) fn check_limit(limit: Option<u32>, default: u32, most: u32) -> Result<u32, ErrorResponse> {
    let limit = limit.unwrap_or(default);
    if (1..=most).contains(&limit) {
        Ok(limit)
    } else {
        Err(ErrorResponse::field("limit", format!("must be a whole number from 1 to {most}")))
    }
}

/// Checks the number of an event to go on behind.
pub(crate) fn check_after(after: Option<i64>) -> Result<i64, ErrorResponse> {
    let after = after.unwrap_or(0);
    if after < 0 { Err(ErrorResponse::field("after", "must not be negative")) } else { Ok(after) }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use makima_shared::domain::TaskSubmission;

    use super::*;

    fn refusal(body: &str) -> (u16, String) {
        let error = read_json::<TaskSubmission>(body.as_bytes()).unwrap_err();
        let shown = format!("{error:?}");
        (error.into_response().status().as_u16(), shown)
    }

    #[test]
    fn what_is_wrong_with_a_body_is_named() {
        let cases = [
            ("", 400, "MalformedJson"),
            ("{", 400, "MalformedJson"),
            ("{} x", 422, "is missing"),
            ("[1", 400, "MalformedJson"),
            ("[]", 422, "must be a JSON object"),
            (r#"{"prio":1}"#, 422, r#"field: "prio", problem: "is unknown""#),
            (r#"{"name":"a"}"#, 422, r#"field: "plan", problem: "is missing""#),
            (r#"{"name":"a","name":"b"}"#, 422, r#"field: "name", problem: "is given twice""#),
            (r#"{"name":7}"#, 422, r#"field: "name", problem: "cannot be taken"#),
            (r#"{"dependsOn":[7]}"#, 422, r#"field: "dependsOn[0]", problem"#),
            (r#"{"agent":{"kind":"command","argv":["a"],"shell":1}}"#, 422, r#"field: "agent.shell""#),
            (r#"{"agent":{"kind":"robot"}}"#, 422, r#"field: "agent"#),
            (r#"{"agent":{"kind":"command"}}"#, 422, r#"field: "agent.argv", problem: "is missing""#),
        ];
        for (body, status, part) in cases {
            let (answered, shown) = refusal(body);
            assert_eq!(answered, status, "{body}: {shown}");
            assert!(shown.contains(part), "{body}: {shown}");
        }
    }

    #[test]
    fn a_problem_never_repeats_a_whole_body() {
        let (_, shown) = refusal(&format!(r#"{{"priority":"{}"}}"#, "x".repeat(100_000)));
        assert!(shown.len() < 2000);
    }
}
