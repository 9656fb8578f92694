//! The fleet, as every owner may see it. What a worker runs is told of the caller's own tasks alone.

use axum::Json;
use axum::extract::State;

use crate::auth::Owner;
use crate::error::{ErrorBody, ErrorResponse};
use crate::extract::{NoParams, Params, WorkerPath};
use crate::openapi::Always;
use crate::state::AppState;
use crate::views::worker::{WorkerDetailView, WorkersView};

/// List the workers that are there, oldest first
#[utoipa::path(
    get,
    path = "/api/v1/mesh/workers",
    operation_id = "workerList",
    tag = "workers",
    security(("bearer" = [])),
    responses((status = 200, description = "Up to 1,000 workers", body = WorkersView), Always)
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    _owner: Owner,
    _: Params<NoParams>,
) -> Result<Json<WorkersView>, ErrorResponse> {
    Ok(Json(WorkersView { workers: state.store.workers_list().await? }))
}

/// Show a worker, also one that is gone
#[utoipa::path(
    get,
    path = "/api/v1/mesh/workers/{id}",
    operation_id = "workerShow",
    tag = "workers",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The worker")),
    responses(
        (status = 200, description = "The worker, and which of the caller's tasks it holds", body = WorkerDetailView),
        (status = 400, description = "`INVALID_ID`", body = ErrorBody),
        (status = 404, description = "`WORKER_NOT_FOUND`", body = ErrorBody),
        Always,
    )
)]
pub(crate) async fn show(
    State(state): State<AppState>,
    Owner(owner): Owner,
    WorkerPath(id): WorkerPath,
    _: Params<NoParams>,
) -> Result<Json<WorkerDetailView>, ErrorResponse> {
    let worker = state.store.worker_get(id).await?.ok_or_else(|| ErrorResponse::worker_not_found(id))?;
    let task_ids = state.store.tasks_of_worker(owner, id).await?;
    Ok(Json(WorkerDetailView { worker, task_ids }))
}
