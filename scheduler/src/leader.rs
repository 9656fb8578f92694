//! Who leads. A lease in PostgreSQL, renewed three times in its length; given up in an orderly stop, so that another
//! scheduler takes over at once.

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;

use makima_shared::store::{LeaderProof, StoreError, answered};
use makima_shared::telemetry::names;

use crate::{Context, driver};

const DUTY: &str = "scheduler";

/// Stands for the lead, and leads while it has it, until the token is cancelled.
pub(crate) async fn run(context: &Context, shutdown: &CancellationToken) {
    let me = Uuid::now_v7();
    metrics::gauge!(names::LEADER).set(0);
    while !shutdown.is_cancelled() {
        let asked = Instant::now();
        match acquire(context, me).await {
            Ok(Some(proof)) => lead(context, me, proof, asked, shutdown).await,
            Ok(None) => {}
            Err(error) => warn!(error = &error as &dyn std::error::Error, "cannot ask for the lead"),
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep(context.config.lease / 3) => {} // why: the next try to get the lead
        }
    }
    if let Err(error) = answered(context.store.leader_release(DUTY, me)).await {
        debug!(error = &error as &dyn std::error::Error, "the lead will be free when its lease ends");
    }
}

async fn acquire(context: &Context, me: Uuid) -> Result<Option<LeaderProof>, StoreError> {
    answered(context.store.leader_acquire(DUTY, me, context.config.lease)).await
}

/// Runs the reconcilers for as long as the lead is renewed in time, counted from before each request was sent.
async fn lead(context: &Context, me: Uuid, proof: LeaderProof, asked: Instant, shutdown: &CancellationToken) {
    info!(scheduler.id = %me, "leading");
    metrics::gauge!(names::LEADER).set(1);
    let term = shutdown.child_token();
    // Boxed, because it holds every reconciler.
    tokio::join!(Box::pin(driver::run(context, &proof, &term)), keep(context, me, asked, &term));
    metrics::gauge!(names::LEADER).set(0);
    info!(scheduler.id = %me, "no longer leading");
}

/// Renews the lead; ends the term when that fails for longer than the lease lasts.
async fn keep(context: &Context, me: Uuid, asked: Instant, term: &CancellationToken) {
    let lease = context.config.lease;
    let mut valid_until = asked + lease;
    loop {
        tokio::select! {
            () = term.cancelled() => return,
            () = sleep(lease / 3) => {} // why: the beat of the lease
        }
        let asked = Instant::now();
        tokio::select! {
            () = term.cancelled() => return,
            () = tokio::time::sleep_until(valid_until) => break, // why: the lease is over
            renewed = acquire(context, me) => match renewed {
                Ok(Some(_proof)) => valid_until = asked + lease,
                Ok(None) => break,
                Err(error) => warn!(error = &error as &dyn std::error::Error, "cannot renew the lead"),
            },
        }
    }
    term.cancel();
}
