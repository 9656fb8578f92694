//! A task's history, by the numbers of its events.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::auth::Owner;
use crate::error::{ErrorBody, ErrorResponse};
use crate::extract::{Params, TaskPath, check_after, check_limit};
use crate::openapi::Always;
use crate::state::AppState;
use crate::views::event::EventsView;

/// Which part of a task's history is wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PageParams {
    /// Only what comes behind the event of this number; 0 if none.
    #[param(minimum = 0)]
    pub(super) after: Option<i64>,
    /// How many at most; 200 if none.
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<u32>,
}

impl PageParams {
    pub(super) const DEFAULT_LIMIT: u32 = 200;
    pub(super) const MAX_LIMIT: u32 = 1000;
}

/// List a task's events
#[utoipa::path(
    get,
    path = "/api/v1/mesh/tasks/{id}/events",
    operation_id = "taskEvents",
    tag = "tasks",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The task"), PageParams),
    responses(
        (status = 200, description = "Events in order", body = EventsView),
        (status = 400, description = "`INVALID_ID`", body = ErrorBody),
        (status = 404, description = "`TASK_NOT_FOUND`", body = ErrorBody),
        Always,
    )
)]
pub(crate) async fn events(
    State(state): State<AppState>,
    Owner(owner): Owner,
    TaskPath(id): TaskPath,
    Params(params): Params<PageParams>,
) -> Result<Response, ErrorResponse> {
    let after = check_after(params.after)?;
    let limit = check_limit(params.limit, PageParams::DEFAULT_LIMIT, PageParams::MAX_LIMIT)?;
    let events = state.store.events_list(owner, id, after, i64::from(limit), None).await?;
    let events = events.ok_or_else(|| ErrorResponse::task_not_found(id))?;
    state.buffers.json(owner, &EventsView::new(events, after))
}
