//! The ways between a role and the servers break.

use std::time::Duration;

use anyhow::Context;
use tokio::time::{sleep, timeout};

use super::strike::Outcome;
use super::{Planned, Scope};
use crate::proxy::{Flow, Proxy, Trap};
use crate::stack::{Member, Stack, WORKER_LEASE};

/// How a way is lost, with the words for it.
type Manner = (Flow, &'static str);
const LOST_REDIS: [Manner; 2] = [(Flow::Stuck, "held up"), (Flow::Shut, "shut")];
const LOST_POSTGRES: [Manner; 3] =
    [(Flow::Stuck, "held up"), (Flow::WritesStuck, "writes held up"), (Flow::Shut, "shut")];
/// A role that has written nothing by then writes nothing for now.
const CAUGHT_WITHIN: Duration = Duration::from_secs(3);

/// Cuts a connection when a write is on its way, so that it never arrives.
pub(super) async fn cut_before_commit(stack: &Stack, fault: &Planned) -> Outcome {
    trap(stack, fault, Trap::CutBefore).await
}

/// Lets a write be committed and its answer be lost with the connection.
pub(super) async fn lose_answer(stack: &Stack, fault: &Planned) -> Outcome {
    trap(stack, fault, Trap::LoseAnswer).await
}

async fn trap(stack: &Stack, fault: &Planned, trap: Trap) -> Outcome {
    let (scope, member) = any_member(stack, fault);
    let caught = timeout(CAUGHT_WITHIN, member.postgres.set_trap(trap)).await;
    let hit =
        caught.context("it wrote nothing").and_then(|caught| caught.context("another trap took its place"));
    (scope, hit.map(|write| format!("{}: {write}", member.role.name())))
}

pub(super) fn cut_connections(stack: &Stack, fault: &Planned) -> Outcome {
    let (scope, member) = any_member(stack, fault);
    member.postgres.cut();
    member.redis.cut();
    (scope, Ok(member.role.name().to_owned()))
}

pub(super) async fn lose_redis(stack: &Stack, fault: &Planned) -> Outcome {
    let (place, worker) = any_worker(stack, fault);
    // Long enough to outlive a lease if the worker wrongly thought that one hangs on Redis.
    let lasts = fault.between(WORKER_LEASE, WORKER_LEASE * 2);
    (Scope::Worker(place), Ok(lose(worker, &worker.redis, &LOST_REDIS, fault, lasts).await))
}

pub(super) async fn lose_postgres(stack: &Stack, fault: &Planned) -> Outcome {
    let (place, worker) = any_worker(stack, fault);
    let lasts = fault.between(WORKER_LEASE, WORKER_LEASE * 3);
    let before = worker.postgres.refused();
    let hit = lose(worker, &worker.postgres, &LOST_POSTGRES, fault, lasts).await;
    sleep(Duration::from_secs(1)).await; // why: what was held up on the way arrives now, and is counted for this fault
    let refused = worker.postgres.refused() - before;
    (Scope::Worker(place), Ok(format!("{hit}; {refused} stale writes refused")))
}

/// Loses one way: connections break, or everything on it is held up and arrives late.
async fn lose(worker: &Member, way: &Proxy, manners: &[Manner], fault: &Planned, lasts: Duration) -> String {
    let _alone = worker.lasting_fault.lock().await;
    let (flow, words) = manners[fault.manner(manners.len())];
    way.set(flow);
    sleep(lasts).await; // why: how long the way is lost
    way.set(Flow::Open);
    format!("{}, {words} for {:.1} s", worker.role.name(), lasts.as_secs_f64())
}

fn any_worker<'a>(stack: &'a Stack, fault: &Planned) -> (usize, &'a Member) {
    let place = fault.choose(stack.workers.len());
    (place, &stack.workers[place])
}

/// Chooses a worker as a rule, else the API or a scheduler.
fn any_member<'a>(stack: &'a Stack, fault: &Planned) -> (Scope, &'a Member) {
    let others = 2 + stack.schedulers.len();
    let chosen = fault.choose(stack.workers.len() + others);
    match chosen.checked_sub(stack.workers.len()) {
        None => (Scope::Worker(chosen), &stack.workers[chosen]),
        Some(other) => match other.checked_sub(2) {
            None => (Scope::Api, &stack.api),
            Some(place) => (Scope::Scheduler, &stack.schedulers[place]),
        },
    }
}
