//! The claim with a long backlog against the claim with a short one: the script in Redis, and the statement in PostgreSQL.
//!
//! The short backlog is measured before and after the long one.

use std::time::{Duration, Instant};

use anyhow::ensure;
use makima_shared::domain::{NewWorker, WorkerId};

use super::{Measured, Plane, backlog, settle};
use crate::floors::{Floor, Floors};
use crate::report::Row;
use crate::samples::Samples;

const FEW: usize = 1_000;
const MANY: usize = 1_000_000;
const MANY_QUICK: usize = 100_000;
const CLAIMS: usize = 400;
/// Claims that are not measured.
const WARM_UP: usize = 50;
/// Claims in vain that are passed over: `requeue_lost` may read a task as queued, miss it in Redis because it was claimed
/// that moment, and bring it once more.
const VAIN: usize = 50;
/// Longer than the measurement takes.
const LEASE: Duration = Duration::from_secs(3600);

/// Measures it.
pub(super) async fn measure(plane: &Plane<'_>) -> anyhow::Result<Measured> {
    let worker = register(plane).await?;
    let mut floors = Floors::default();
    floors.add(Floor::ClaimOfFew, with_backlog(plane, worker, FEW).await?);
    plane.reset().await?;
    let many = if plane.options.quick { MANY_QUICK } else { MANY };
    let of_many = with_backlog(plane, worker, many).await?;
    plane.reset().await?;
    floors.add(Floor::ClaimOfFew, with_backlog(plane, worker, FEW).await?);
    plane.store.worker_end(worker).await?;
    let name = format!("claim with {} queued", crate::report::thousands(many));
    let row = Row::of_millis(name, of_many, &[(1, Floor::ClaimOfFew)]).bar("1.2 x").beside(&floors);
    Ok((vec![row], floors))
}

async fn with_backlog(plane: &Plane<'_>, worker: WorkerId, tasks: usize) -> anyhow::Result<Samples> {
    let phase = plane.progress.phase("claims with a backlog, in thousands", tasks / 1_000);
    backlog::add(plane, tasks, &phase).await?;
    settle(&mut plane.servers.connect().await?).await?;
    let mut claims = Vec::with_capacity(WARM_UP + CLAIMS);
    for _ in 0..WARM_UP + CLAIMS + VAIN {
        claims.extend(claim_one(plane, worker).await?);
    }
    ensure!(claims.len() >= WARM_UP + CLAIMS, "there was nothing to claim");
    Ok(Samples::of_durations(claims.drain(WARM_UP..WARM_UP + CLAIMS)))
}

/// Returns how long a claim took; none if it took an id in vain.
async fn claim_one(plane: &Plane<'_>, worker: WorkerId) -> anyhow::Result<Option<Duration>> {
    let start = Instant::now();
    let ids = plane.queue.ready_claim(worker, &[], 1).await?;
    let claimed = plane.store.tasks_claim(worker, &ids).await?;
    let took = start.elapsed();
    Ok((claimed.len() == 1).then_some(took))
}

async fn register(plane: &Plane<'_>) -> anyhow::Result<WorkerId> {
    let id = WorkerId::new();
    let (name, host) = ("claims".to_owned(), "localhost".to_owned());
    let worker = NewWorker { id, name, host, pid: 1, slots: 1, labels: Vec::new() };
    plane.store.worker_register(&worker, LEASE).await?;
    Ok(id)
}
