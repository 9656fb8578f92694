//! The scheduler: reconcilers that bring the world to what the store says it should be.
//!
//! Any number of schedulers may run; one leads, by a lease ([`leader`]). The leader runs every reconciler of [`tasks`] by
//! signal, where something is known to have happened, and by period, as the net. A reconciler takes no input that it
//! could not do without, may be stopped anywhere, and may run twice: all that it changes goes through guarded
//! statements, so that a leader which lost its lead unnoticed does no harm.
//!
//! **Architecture invariant.** No HTTP, no git, no child process.

mod alarm;
mod driver;
mod leader;
mod measure;
mod report;
mod signals;
mod tasks;
mod wake;

use std::sync::Arc;

use makima_shared::config::SchedulerConfig;
use makima_shared::queue::Queue;
use makima_shared::store::Store;
use signals::Signals;
use tokio_util::sync::CancellationToken;

/// What every reconciler works with.
#[derive(Clone)]
struct Context {
    store: Store,
    queue: Queue,
    config: SchedulerConfig,
    signals: Arc<Signals>,
}

/// Runs a scheduler until the token is cancelled. PostgreSQL and Redis may come and go meanwhile.
pub async fn run(config: SchedulerConfig, store: Store, queue: Queue, shutdown: CancellationToken) {
    let context = Context { store, queue, config, signals: Arc::default() };
    leader::run(&context, &shutdown).await;
}
