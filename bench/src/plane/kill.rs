//! SIGKILL of a worker's process: from the kill to the call of its task's runner on another worker.
//!
//! Victims that hold a task each are killed one after the other, at a pace that has nothing to do with their beats, while
//! one worker has room for all of their tasks.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;

use super::started::{Start, Starts};
use super::workers::{Fleet, Workers};
use super::{Measured, Plane, null_worker};
use crate::floors::Floors;
use crate::report::Row;
use crate::timeline::between;

const VICTIMS: usize = 30;
/// Between two kills.
const PACE: Duration = Duration::from_millis(370);
/// Longer than a beat, so that every victim is known as it would be after a while.
const HELD_FOR: Duration = Duration::from_secs(3);

/// Measures it.
pub(super) async fn measure(plane: &Plane<'_>) -> anyhow::Result<Measured> {
    let starts = Starts::listen(plane.scratch.path())?;
    let fleet = Fleet { processes: VICTIMS, lives: 1, slots: 1, tell: Some(starts.path()) };
    let victims = Workers::start_idle(plane, &fleet).await?;
    let phase = plane.progress.phase("SIGKILL of workers", VICTIMS);
    plane.submit_many(VICTIMS, &plane.task(null_worker::HOLD)).await?;
    let mut held = HashMap::new();
    for _ in 0..VICTIMS {
        let start = starts.next().await?;
        held.insert(start.task, start.pid);
    }
    let rescuers = Fleet { processes: 1, slots: VICTIMS, ..fleet };
    let rescuers = Workers::start_idle(plane, &rescuers).await?;
    sleep(HELD_FOR).await; // why: see HELD_FOR
    let (killed, started) = tokio::try_join!(kill_all(&victims), async {
        let mut started = Vec::with_capacity(VICTIMS);
        for _ in 0..VICTIMS {
            started.push(starts.next().await?);
            phase.step();
        }
        Ok(started)
    })?;
    let took = started.iter().map(|start: &Start| between(killed[&held[&start.task]], start.at));
    let took = took.collect::<anyhow::Result<Vec<_>>>()?;
    drop((victims, rescuers));
    let row = Row::millis("SIGKILL of a worker → its task started elsewhere", took, &[]).bar("2 s / 12 s");
    Ok((vec![row], Floors::default()))
}

async fn kill_all(victims: &Workers) -> anyhow::Result<HashMap<u32, SystemTime>> {
    let mut killed = HashMap::new();
    for pid in victims.pids() {
        killed.insert(pid, SystemTime::now());
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL)?;
        sleep(PACE).await; // why: see PACE
    }
    Ok(killed)
}
