//! Roles that are killed or frozen.

use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::strike::Outcome;
use super::{Planned, Scope};
use crate::load::{Driver, Kind, Piece};
use crate::stack::{LEADER_LEASE, Role, Stack, WORKER_LEASE};

/// From before the API has read a request to after it has answered.
const INTO_REQUEST: Duration = Duration::from_millis(12);
/// A zombie that was thawed writes at once, if it writes.
const ZOMBIE_WRITES_WITHIN: Duration = Duration::from_secs(1);

pub(super) async fn kill_worker(stack: &Stack, fault: &Planned) -> Outcome {
    let place = fault.choose(stack.workers.len());
    let role = &stack.workers[place].role;
    let held = held_by(stack, role).await;
    (Scope::Worker(place), kill(role).map(|hit| format!("{hit}, which held {held}")))
}

/// Stops a worker for two leases. The tasks that it held are others' when it goes on.
pub(super) async fn freeze_worker(stack: &Stack, fault: &Planned) -> Outcome {
    let place = fault.choose(stack.workers.len());
    let worker = &stack.workers[place];
    let _alone = worker.lasting_fault.lock().await;
    let held = held_by(stack, &worker.role).await;
    let Some(pid) = worker.role.signal(Signal::SIGSTOP) else {
        return (Scope::Worker(place), gone(&worker.role));
    };
    sleep(WORKER_LEASE * 2).await; // why: the frozen time
    let before = worker.postgres.refused();
    worker.role.signal_same(pid, Signal::SIGCONT);
    sleep(ZOMBIE_WRITES_WITHIN).await; // why: what it still writes is counted for this fault
    let refused = worker.postgres.refused() - before;
    let hit =
        format!("{} (pid {pid}), which held {held}: {refused} stale writes refused", worker.role.name());
    (Scope::Worker(place), Ok(hit))
}

/// Kills the scheduler that leads.
pub(crate) fn kill_leader(stack: &Stack) -> anyhow::Result<String> {
    let leader = stack.leader().context("none leads at the moment")?;
    kill(&stack.schedulers[leader].role)
}

/// Stops the leader for two leases. It goes on as one of two who think that they lead.
pub(super) async fn freeze_leader(stack: &Stack) -> anyhow::Result<String> {
    let leader = &stack.schedulers[stack.leader().context("none leads at the moment")?];
    let _alone = leader.lasting_fault.lock().await;
    let Some(pid) = leader.role.signal(Signal::SIGSTOP) else { return gone(&leader.role) };
    sleep(LEADER_LEASE * 2).await; // why: the frozen time
    leader.role.signal_same(pid, Signal::SIGCONT);
    Ok(format!("{} (pid {pid})", leader.role.name()))
}

pub(super) fn kill_scheduler(stack: &Stack, fault: &Planned) -> anyhow::Result<String> {
    let place = fault.choose(stack.schedulers.len());
    let word = if stack.leader() == Some(place) { "leading" } else { "following" };
    kill(&stack.schedulers[place].role).map(|hit| format!("{hit}, {word}"))
}

pub(super) fn kill_api(stack: &Stack) -> anyhow::Result<String> {
    kill(&stack.api.role)
}

/// Sends a submission whole and kills the API before its answer can be read. The task is then submitted again under its
/// key, as a client does that has heard nothing.
pub(super) async fn kill_api_after_post(
    stack: &Stack,
    driver: &Driver,
    fault: &Planned,
) -> anyhow::Result<String> {
    let piece = Piece::one(&mut StdRng::seed_from_u64(fault.pick), Kind::Quick);
    let task = &piece.tasks[0];
    let submission = driver.submission(piece.owner, task, &[]);
    let (address, request) = stack.client.raw_submission(piece.owner, &submission.key, &submission.body)?;
    let mut stream = TcpStream::connect(&address).await.context("the API is down already")?;
    stream.write_all(&request).await?;
    sleep(fault.between(Duration::ZERO, INTO_REQUEST)).await; // why: each step of the request has its turn
    let hit = kill(&stack.api.role)?;
    driver.insist(task, &submission, Vec::new()).await?;
    Ok(format!("{hit}, {} sent", submission.key))
}

fn kill(role: &Role) -> anyhow::Result<String> {
    match role.signal(Signal::SIGKILL) {
        Some(pid) => Ok(format!("{} (pid {pid})", role.name())),
        None => gone(role),
    }
}

fn gone(role: &Role) -> anyhow::Result<String> {
    anyhow::bail!("{} is dead already", role.name())
}

/// Says how many tasks a worker holds.
async fn held_by(stack: &Stack, role: &Role) -> String {
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM tasks t JOIN workers w ON w.id = t.worker_id WHERE w.name LIKE $1 || '.%'",
    );
    match count.bind(role.name()).fetch_one(&stack.pool).await {
        Ok(1_i64) => "1 task".to_owned(),
        Ok(count) => format!("{count} tasks"),
        Err(_away) => "nobody knows what".to_owned(),
    }
}
