//! What a task's agent wrote: a page of lines as JSON, or all of it as text.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use makima_shared::domain::{EventKind, OwnerId, TaskEvent, TaskId};
use makima_shared::store::{Store, StoreError};

use super::events::PageParams;
use crate::auth::Owner;
use crate::buffers::Buffers;
use crate::error::{ErrorBody, ErrorResponse, chain};
use crate::extract::{Params, TaskPath, accepts, check_after, check_limit};
use crate::openapi::Always;
use crate::state::AppState;
use crate::views::output::{OutputText, OutputView};

/// How many lines are read at once behind the first page of a text.
const TEXT_PAGE: u32 = 128;

/// Read what a task's agent wrote
///
/// As JSON, a page of lines. With `Accept: text/plain`, everything there is behind `after` (up to `limit` lines if one is
/// given), as the agent wrote it. Output is deleted some time after the end of its task (30 days, if nobody set
/// `retention.output_days`): the first page then says `"pruned": true`.
#[utoipa::path(
    get,
    path = "/api/v1/mesh/tasks/{id}/output",
    operation_id = "taskOutput",
    tag = "tasks",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The task"), PageParams),
    responses(
        (status = 200, description = "Lines in order", content(
            (OutputView = "application/json"),
            (String = "text/plain"),
        )),
        (status = 400, description = "`INVALID_ID`", body = ErrorBody),
        (status = 404, description = "`TASK_NOT_FOUND`", body = ErrorBody),
        Always,
    )
)]
pub(crate) async fn output(
    State(state): State<AppState>,
    Owner(owner): Owner,
    TaskPath(id): TaskPath,
    Params(params): Params<PageParams>,
    headers: HeaderMap,
) -> Result<Response, ErrorResponse> {
    let after = check_after(params.after)?;
    let limit = check_limit(params.limit, PageParams::DEFAULT_LIMIT, PageParams::MAX_LIMIT)?;
    let buffers = state.buffers;
    let mut reader = Reader { store: state.store, owner, task: id, after };
    let page = reader.page(limit).await?.ok_or_else(|| ErrorResponse::task_not_found(id))?;
    if accepts(&headers, "text/plain") {
        let more = params.limit.is_none() && page.len() >= limit as usize;
        return Ok(text(reader, buffers, page, more));
    }
    let first = page.first().map(|line| line.sequence);
    let pruned = after == 0 && reader.store.events_are_missing(owner, id, first).await?;
    let view = OutputView::new(&page, after, pruned).map_err(|error| ErrorResponse::internal(&error))?;
    buffers.json(owner, &view)
}

/// Reads a task's output page by page.
struct Reader {
    store: Store,
    owner: OwnerId,
    task: TaskId,
    after: i64,
}

impl Reader {
    async fn page(&mut self, limit: u32) -> Result<Option<Vec<TaskEvent>>, StoreError> {
        let only = Some(EventKind::Output);
        let page = self.store.events_list(self.owner, self.task, self.after, i64::from(limit), only).await?;
        if let Some(last) = page.as_ref().and_then(|events| events.last()) {
            self.after = last.sequence;
        }
        Ok(page)
    }
}

/// Answers with text: the first page, and with `more` the ones behind it as the client reads on.
fn text(reader: Reader, buffers: Buffers, first: Vec<TaskEvent>, more: bool) -> Response {
    let start = Some((reader, buffers, Some(first), OutputText::default()));
    let pages = stream::unfold(start, move |state| async move {
        let (mut reader, buffers, page, mut text) = state?;
        let page = match page {
            Some(page) => Ok(page),
            None => reader.page(TEXT_PAGE).await.map(Option::unwrap_or_default),
        };
        let piece = match page.map(|page| (page.is_empty(), text.piece(&page))) {
            Ok((false, Ok(piece))) => buffers
                .hold(reader.owner, piece.into_bytes())
                .map_err(|_refused| std::io::Error::other("too much is being read at once")),
            Ok((true, _)) => return None,
            Ok((false, Err(error))) => Err(std::io::Error::other(chain(&error))),
            Err(error) => Err(std::io::Error::other(chain(&error))),
        };
        let next = (more && piece.is_ok()).then_some((reader, buffers, None, text));
        Some((piece, next))
    });
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(pages)).into_response()
}
