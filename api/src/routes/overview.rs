//! How much there is to do and what runs, for somebody who looks on.

use axum::Json;
use axum::extract::State;
use chrono::Utc;
use makima_shared::domain::{Overview, OwnerId, OwnerLoad};
use makima_shared::store::FleetLoad;

use crate::auth::Viewer;
use crate::error::ErrorResponse;
use crate::extract::{NoParams, Params};
use crate::openapi::Always;
use crate::state::AppState;

/// How many owners are listed.
const MAX_OWNERS: usize = 100;

/// Show how much there is to do, who waits, and what runs
///
/// Queue and workers are those of all owners, without names of tasks or owners. Of owners and tasks the caller sees its
/// own; a key of an operator sees how much every owner has to do, and no tasks but its own.
#[utoipa::path(
    get,
    path = "/api/v1/mesh/overview",
    operation_id = "overview",
    tag = "workers",
    security(("bearer" = [])),
    responses((status = 200, description = "The load of the moment", body = Overview), Always)
)]
pub(crate) async fn overview(
    State(state): State<AppState>,
    viewer: Viewer,
    _: Params<NoParams>,
) -> Result<Json<Overview>, ErrorResponse> {
    let store = &state.store;
    let measured = state.fleet.measured(store).await?;
    let own = match measured.load.owners.get(&viewer.owner) {
        Some(own) => own.clone(),
        None => idle(store.owner_name(viewer.owner).await?),
    };
    let (owners, active_owners) = if viewer.operator {
        (busiest(&measured.load, viewer.owner, &own), Some(measured.load.owners.len() as i64))
    } else {
        (vec![own.clone()], None)
    };
    Ok(Json(Overview {
        recent: store.tasks_recent_ends(viewer.owner).await?,
        running_tasks: store.tasks_running(viewer.owner).await?,
        at: Utc::now(),
        measured_at: measured.at,
        queue: measured.load.queue.clone(),
        own,
        owners,
        active_owners,
        fleet: measured.size,
        workers: measured.workers.clone(),
    }))
}

fn idle(name: Option<String>) -> OwnerLoad {
    OwnerLoad { name: name.unwrap_or_default(), ..OwnerLoad::default() }
}

/// Returns the owners with the most to do, and the caller's own among them.
fn busiest(load: &FleetLoad, owner: OwnerId, own: &OwnerLoad) -> Vec<OwnerLoad> {
    let others = load.owners.iter().filter(|(id, _)| **id != owner).map(|(_, other)| other.clone());
    let mut owners: Vec<OwnerLoad> = others.collect();
    owners.sort_by_cached_key(|load| (-(load.queued + load.starting + load.running), load.name.clone()));
    owners.truncate(MAX_OWNERS - 1);
    owners.insert(0, own.clone());
    owners
}
