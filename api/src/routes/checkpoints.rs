//! Checkpoints: the list, and one patch as text or as it is stored.

use std::io::Read;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;
use futures_util::stream;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Owner;
use crate::error::{ErrorBody, ErrorCode, ErrorResponse};
use crate::extract::{CheckpointPath, NoParams, Params, TaskPath, accepts, accepts_encoding};
use crate::openapi::Always;
use crate::state::AppState;
use crate::views::checkpoint::CheckpointsView;

/// The most text that a patch is unpacked to, in bytes: what a small stored patch could blow up to has no other bound.
const MAX_TEXT_BYTES: u64 = 256 * 1024 * 1024;
/// How much is unpacked at once, in bytes: little enough to do between two other things.
const PIECE_BYTES: usize = 64 * 1024;

/// List a task's checkpoints, newest first
#[utoipa::path(
    get,
    path = "/api/v1/mesh/tasks/{id}/checkpoints",
    operation_id = "checkpointList",
    tag = "tasks",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The task")),
    responses(
        (status = 200, description = "The newest 1,000 checkpoints", body = CheckpointsView),
        (status = 400, description = "`INVALID_ID`", body = ErrorBody),
        (status = 404, description = "`TASK_NOT_FOUND`", body = ErrorBody),
        Always,
    )
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    Owner(owner): Owner,
    TaskPath(id): TaskPath,
    _: Params<NoParams>,
) -> Result<Json<CheckpointsView>, ErrorResponse> {
    let checkpoints = state.store.checkpoints_list(owner, id).await?;
    let checkpoints = checkpoints.ok_or_else(|| ErrorResponse::task_not_found(id))?;
    Ok(Json(CheckpointsView { checkpoints }))
}

/// How a patch is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PatchFormat {
    /// Unpacked.
    Text,
    /// As it is stored.
    Gzip,
}

/// How a patch is wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatchParams {
    /// `text` or `gzip`; what `Accept` says if none, and else text.
    #[param(inline)]
    format: Option<PatchFormat>,
}

/// Read the patch of a checkpoint
///
/// The patch applies to the checkpoint's `baseCommit` with `git apply --binary`. With `Accept-Encoding: gzip` its text comes
/// compressed; with `Accept: application/gzip` or `format=gzip` the answer is the compressed patch itself, as it is stored.
#[utoipa::path(
    get,
    path = "/api/v1/mesh/tasks/{id}/checkpoints/{number}/patch",
    operation_id = "checkpointPatch",
    tag = "tasks",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The task"),
        ("number" = i32, Path, description = "The checkpoint's number"),
        PatchParams
    ),
    responses(
        (status = 200, description = "The patch; text of more than 256 MiB is cut off with an error", content(
            (String = "text/plain"),
            (Vec<u8> = "application/gzip"),
        )),
        (status = 400, description = "`INVALID_ID`", body = ErrorBody),
        (status = 404, description = "`TASK_NOT_FOUND`, or `CHECKPOINT_NOT_FOUND`: no such checkpoint, or its patch has \
                                      expired", body = ErrorBody),
        Always,
    )
)]
pub(crate) async fn patch(
    State(state): State<AppState>,
    Owner(owner): Owner,
    CheckpointPath(id, number): CheckpointPath,
    Params(params): Params<PatchParams>,
    headers: HeaderMap,
) -> Result<Response, ErrorResponse> {
    let Some(packed) = state.store.checkpoint_patch(owner, id, number).await? else {
        let known = state.store.task_status(owner, id).await?;
        known.ok_or_else(|| ErrorResponse::task_not_found(id))?;
        let message = format!("the task has no checkpoint {number}, or its patch has expired");
        return Err(ErrorResponse::new(ErrorCode::CheckpointNotFound, message));
    };
    let packed = state.buffers.hold(owner, packed)?;
    let format = params.format.unwrap_or(if accepts(&headers, "application/gzip") {
        PatchFormat::Gzip
    } else {
        PatchFormat::Text
    });
    Ok(match format {
        PatchFormat::Gzip => {
            ([(header::CONTENT_TYPE, "application/gzip")], Body::from(packed)).into_response()
        }
        PatchFormat::Text => text(packed, &headers),
    })
}

/// Answers with the text, which a client that can unpack it gets as it is stored.
fn text(packed: Bytes, headers: &HeaderMap) -> Response {
    let text = [(header::CONTENT_TYPE, "text/plain"), (header::VARY, "accept, accept-encoding")];
    if accepts_encoding(headers, "gzip") {
        let encoding = [(header::CONTENT_ENCODING, "gzip")];
        return (text, encoding, Body::from(packed)).into_response();
    }
    (text, unpack(packed)).into_response()
}

/// Unpacks a patch piece by piece, as the client reads.
fn unpack(packed: Bytes) -> Body {
    let reader = GzDecoder::new(std::io::Cursor::new(packed)).take(MAX_TEXT_BYTES + 1);
    Body::from_stream(stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        let mut piece = vec![0; PIECE_BYTES];
        match reader.read(&mut piece) {
            Ok(0) => None,
            Ok(_) if reader.limit() == 0 => {
                Some((Err(std::io::Error::other("the patch is too large to be unpacked here")), None))
            }
            Ok(count) => {
                piece.truncate(count);
                Some((Ok(Bytes::from(piece)), Some(reader)))
            }
            Err(error) => Some((Err(error), None)),
        }
    }))
}
