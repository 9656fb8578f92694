//! Redis wiped while 100,000 tasks are queued: from the FLUSHALL to the moment at which it knows them all again.

use std::time::{Duration, Instant};

use super::{Measured, Plane, backlog, until};
use crate::floors::Floors;
use crate::report::{Row, thousands};

const ROUNDS: usize = 3;
const TASKS: usize = 100_000;
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Measures it.
pub(super) async fn measure(plane: &Plane<'_>) -> anyhow::Result<Measured> {
    let mut redis = plane.servers.redis().await?;
    let phase = plane.progress.phase("a backlog, in thousands", TASKS / 1_000);
    backlog::add(plane, TASKS, &phase).await?;
    let phase = plane.progress.phase("Redis wiped", ROUNDS);
    let mut whole = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        until(LOOK_EVERY, async || Ok(plane.ready(&mut redis, "").await? == TASKS)).await?;
        let start = Instant::now();
        redis::cmd("FLUSHALL").query_async::<()>(&mut redis).await?;
        until(LOOK_EVERY, async || Ok(plane.ready(&mut redis, "").await? == TASKS)).await?;
        whole.push(start.elapsed());
        phase.step();
    }
    let name = format!("Redis wiped, {} queued → known again", thousands(TASKS));
    Ok((vec![Row::millis(name, whole, &[]).bar("5 s")], Floors::default()))
}
