//! Carries the plan out.

use std::sync::Arc;

use chrono::Utc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{FaultKind, Planned, Scope, Struck, postgres, queue, redis, remote, roles, ways, workspace};
use crate::load::Driver;
use crate::stack::Stack;

/// What a fault came to: whom it concerned, and what it hit or why it found nothing.
pub(super) type Outcome = (Scope, anyhow::Result<String>);

/// Lets every fault strike at its time, and waits until the last one is over.
pub(crate) async fn run(
    stack: &Arc<Stack>,
    driver: &Driver,
    plan: &[Planned],
    tell: impl Fn(&Struck),
) -> anyhow::Result<Vec<Struck>> {
    let mut striking = JoinSet::new();
    let mut struck = Vec::new();
    let mut at = Instant::now();
    for planned in plan {
        at += planned.gap;
        loop {
            // why: the moment that the seed has chosen
            tokio::select! {
                () = sleep_until(at) => break,
                Some(ended) = striking.join_next() => note(ended?, &mut struck, &tell),
            }
        }
        striking.spawn(one(Arc::clone(stack), driver.clone(), *planned));
    }
    while let Some(ended) = striking.join_next().await {
        note(ended?, &mut struck, &tell);
    }
    struck.sort_by_key(|fault: &Struck| fault.number);
    Ok(struck)
}

fn note(ended: Struck, struck: &mut Vec<Struck>, tell: impl Fn(&Struck)) {
    tell(&ended);
    struck.push(ended);
}

async fn one(stack: Arc<Stack>, driver: Driver, planned: Planned) -> Struck {
    let began = Utc::now();
    let (scope, hit) = strike(&stack, &driver, &planned).await;
    let hit = hit.map_err(|error| format!("{error:#}"));
    Struck { number: planned.number, kind: planned.kind, scope, began, ended: Utc::now(), hit }
}

async fn strike(stack: &Stack, driver: &Driver, fault: &Planned) -> Outcome {
    match fault.kind {
        FaultKind::KillWorker => roles::kill_worker(stack, fault).await,
        FaultKind::FreezeWorker => roles::freeze_worker(stack, fault).await,
        FaultKind::KillLeader => (Scope::Scheduler, roles::kill_leader(stack)),
        FaultKind::FreezeLeader => (Scope::Scheduler, roles::freeze_leader(stack).await),
        FaultKind::KillScheduler => (Scope::Scheduler, roles::kill_scheduler(stack, fault)),
        FaultKind::KillApi => (Scope::Api, roles::kill_api(stack)),
        FaultKind::KillApiAfterPost => (Scope::Api, roles::kill_api_after_post(stack, driver, fault).await),
        FaultKind::FlushRedis => (Scope::Redis, redis::flush(stack).await),
        FaultKind::KillRedis => (Scope::Redis, redis::kill(stack, fault).await),
        FaultKind::PauseRedis => (Scope::Redis, redis::pause(stack).await),
        FaultKind::CrashPostgres => (Scope::Postgres, postgres::crash(stack, fault).await),
        FaultKind::TerminateBackends => (Scope::Postgres, postgres::terminate_backends(stack).await),
        FaultKind::CutBeforeCommit => ways::cut_before_commit(stack, fault).await,
        FaultKind::LoseAnswer => ways::lose_answer(stack, fault).await,
        FaultKind::CutConnections => ways::cut_connections(stack, fault),
        FaultKind::LoseWayToRedis => ways::lose_redis(stack, fault).await,
        FaultKind::LoseWayToPostgres => ways::lose_postgres(stack, fault).await,
        FaultKind::PushAgain => (Scope::Nothing, queue::push_again(stack, fault).await),
        FaultKind::DeleteWorktree => workspace::delete(stack, fault).await,
        FaultKind::LoseRemote => (Scope::Remote, remote::lose(stack, fault).await),
    }
}
