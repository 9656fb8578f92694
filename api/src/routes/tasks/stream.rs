//! A task's history as server-sent events: what there is, then what comes, to the end of the task.
//!
//! The follower subscribes before it first reads, and every event comes from PostgreSQL by its number: whatever Redis
//! does, there is neither a gap nor a repeat. Word from Redis only makes it look sooner than once a [`LOOK_PERIOD`].

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use makima_shared::domain::{EventKind, OwnerId, TaskEvent, TaskId, TaskStatus};
use makima_shared::queue::Subscription;
use makima_shared::store::{Store, StoreError};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::auth::Owner;
use crate::buffers::Buffers;
use crate::error::{ErrorBody, ErrorCode, ErrorResponse, chain};
use crate::extract::{Params, TaskPath, check_after};
use crate::openapi::Always;
use crate::shares::Share;
use crate::state::{AppState, MAX_STREAMS, MAX_STREAMS_OF_OWNER};
use crate::views::event::EndView;

/// How many events are read at once: a follower holds them all until they are sent.
const PAGE: i64 = 128;
/// How often a follower looks without being told to.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// How often a comment shows proxies that the stream lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where to begin.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StreamParams {
    /// Only what comes behind the event of this number; 0 if none. `Last-Event-ID` goes before it.
    #[param(minimum = 0)]
    after: Option<i64>,
    /// End the stream also where the task is `paused` or `interrupted`: nothing but a person moves it on from there.
    #[serde(default)]
    #[param(required = false)]
    until_held: bool,
}

/// Follow a task
///
/// Every event of the task, the ones there are and then the ones to come: `id` is its number, `event` its kind, `data`
/// the event as `/events` gives it. Once the task has ended (or, with `untilHeld`, waits for a person) and all was sent,
/// `event: end` with the last status closes the stream.
#[utoipa::path(
    get,
    path = "/api/v1/mesh/tasks/{id}/stream",
    operation_id = "taskStream",
    tag = "tasks",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The task"),
        StreamParams,
        ("Last-Event-ID" = Option<i64>, Header, description = "The number of the last event that arrived")
    ),
    responses(
        (status = 200, description = "Server-sent events; `data` holds a `TaskEvent`, and an `EndView` with `event: end`",
         body = TaskEvent, content_type = "text/event-stream"),
        (status = 400, description = "`INVALID_ID`", body = ErrorBody),
        (status = 404, description = "`TASK_NOT_FOUND`", body = ErrorBody),
        Always,
        (status = 503, description = "`STORE_UNAVAILABLE`, `OVERLOADED`, `REQUEST_TIMEOUT` or `TOO_MANY_STREAMS`: try \
                                      again after `Retry-After` seconds", body = ErrorBody),
    )
)]
pub(crate) async fn stream(
    State(state): State<AppState>,
    Owner(owner): Owner,
    TaskPath(id): TaskPath,
    Params(params): Params<StreamParams>,
    headers: HeaderMap,
) -> Result<Response, ErrorResponse> {
    let after = match last_event_id(&headers)? {
        Some(number) => number,
        None => check_after(params.after)?,
    };
    let share = state.streams.take(owner, 1).ok_or_else(too_many)?;
    let news = state.live.follow(id);
    let known = state.store.task_status(owner, id).await?;
    known.ok_or_else(|| ErrorResponse::task_not_found(id))?;
    let AppState { store, buffers, shutdown, .. } = state;
    let follower = Follower {
        store,
        buffers,
        owner,
        task: id,
        after,
        until_held: params.until_held,
        news,
        _share: share,
    };
    let events = stream::unfold(Some(follower), |follower| async move { follower?.next().await })
        .flat_map(Page::into_stream)
        .take_until(shutdown.cancelled_owned());
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // nginx would hold the events back otherwise.
    Ok(([("x-accel-buffering", "no")], sse).into_response())
}

fn too_many() -> ErrorResponse {
    let message = format!(
        "too many event streams are open: an owner may have {MAX_STREAMS_OF_OWNER}, all owners together {MAX_STREAMS}: \
         try again"
    );
    ErrorResponse::new(ErrorCode::TooManyStreams, message)
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, ErrorResponse> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok()).filter(|number| *number >= 0);
    number.map(Some).ok_or_else(|| ErrorResponse::field("Last-Event-ID", "must be the number of an event"))
}

/// One open stream.
struct Follower {
    store: Store,
    buffers: Buffers,
    owner: OwnerId,
    task: TaskId,
    /// The number of the last event that was sent.
    after: i64,
    /// It ends where the task waits for a person, too.
    until_held: bool,
    news: Subscription,
    _share: Share,
}

/// Events in the form that they are sent in, counted until the last one is.
struct Page {
    events: Vec<Event>,
    held: Option<Share>,
}

impl Page {
    fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        let Self { events, held } = self;
        stream::iter(events.into_iter().map(move |event| {
            let _until_the_last = &held;
            Ok(event)
        }))
    }
}

/// What one look at the task found.
enum Look {
    /// Events to send.
    Events(Vec<TaskEvent>),
    /// Nothing new yet.
    Nothing,
    /// All was sent, and the task has come to where the stream shall end.
    Ended(TaskStatus),
    /// The task is gone.
    Gone,
}

impl Follower {
    /// Waits for something to send. Returns it, and the follower again unless that was the last.
    async fn next(mut self) -> Option<(Page, Option<Self>)> {
        loop {
            match self.look().await {
                Ok(Look::Events(events)) => {
                    if let Some(page) = self.page(&events) {
                        self.after = events.last()?.sequence;
                        return Some((page, Some(self)));
                    }
                    tracing::debug!(task.id = %self.task, "a stream waits: too much is being read at once");
                }
                Ok(Look::Ended(status)) => {
                    return Some((Page { events: vec![end(status)?], held: None }, None));
                }
                Ok(Look::Gone) => return None,
                Ok(Look::Nothing) => {}
                Err(error @ StoreError::Unavailable(_)) => {
                    tracing::debug!(task.id = %self.task, error.cause = chain(&error), "a stream waits for PostgreSQL");
                }
                Err(error) => {
                    // Logged there; the client comes back by itself and is told.
                    drop(ErrorResponse::from(error));
                    return None;
                }
            }
            self.news.changed(LOOK_PERIOD).await;
        }
    }

    /// Puts events into their form; none if there is no room for them now.
    fn page(&self, events: &[TaskEvent]) -> Option<Page> {
        let (events, sizes): (Vec<_>, Vec<_>) = events.iter().filter_map(event).unzip();
        let held = self.buffers.reserve(self.owner, sizes.iter().sum()).ok()?;
        Some(Page { events, held: Some(held) })
    }

    /// Status and newest number are read in one statement, so that an end is only reported behind everything before it.
    async fn look(&self) -> Result<Look, StoreError> {
        let Some((status, newest)) = self.store.task_status(self.owner, self.task).await? else {
            return Ok(Look::Gone);
        };
        if newest <= self.after {
            let is_end = status.is_terminal() || (self.until_held && status.is_held());
            return Ok(if is_end { Look::Ended(status) } else { Look::Nothing });
        }
        let events = self.store.events_list(self.owner, self.task, self.after, PAGE, None).await?;
        Ok(events.filter(|events| !events.is_empty()).map_or(Look::Gone, Look::Events))
    }
}

/// Returns an event as it is sent, and how many bytes it has.
fn event(event: &TaskEvent) -> Option<(Event, usize)> {
    let name = match event.kind {
        EventKind::Status => "status",
        EventKind::Output => "output",
        EventKind::Checkpoint => "checkpoint",
        EventKind::Notice => "notice",
    };
    let data = serde_json::to_string(event).ok()?;
    Some((Event::default().id(event.sequence.to_string()).event(name).data(&data), data.len()))
}

fn end(status: TaskStatus) -> Option<Event> {
    Event::default().event("end").json_data(EndView { status }).ok()
}
