//! The worker: takes tasks, carries each out in a workspace of its own, and keeps nothing that a crash may not take.
//!
//! ```text
//!  queue ──claim──▶ pool ──▶ attempt: prepare ▶ run the agent ▶ finish ──▶ store
//!                    ▲                    │ output, checkpoints ─────────▶ store
//!  lease thread ─────┴── dead man's switches ──▶ agent-shim ──▶ agent
//! ```
//!
//! A worker holds its tasks through one lease, renewed by a thread of its own ([`lease`]). What an attempt writes carries
//! its epoch; when the store answers that the epoch is over, the attempt stops its agent and leaves. An agent never
//! outlives the lease: its shim kills it when the worker dies, freezes or is cut off.
//!
//! **Architecture invariant.** The host never runs what an agent can write: see [`workspace`] and [`git`].

mod agent;
mod attempt;
mod checkpoint;
pub mod checkpoint_request;
#[cfg(test)]
mod fuzzing;
pub mod git;
pub mod github;
mod hints;
mod kept;
mod lease;
mod moves;
pub mod output;
mod pool;
mod presence;
mod private_dir;
pub mod process;
mod ready;
pub mod repository;
mod roster;
pub mod sandbox;
pub mod secrets;
pub mod shim;
mod work_dir;
pub mod workspace;

use std::path::PathBuf;
use std::sync::Arc;

pub use attempt::{AgentRunner, Attempt, End, Runner};
use makima_shared::config::Config;
use makima_shared::queue::Queue;
use makima_shared::store::Store;
use tokio_util::sync::CancellationToken;

/// Why a worker could not even start.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The directory for copies and workspaces cannot be used.
    #[error("the worker's directory {} cannot be used", path.display())]
    DataDir {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The thread that renews the lease could not be started.
    #[error("the lease's thread could not be started")]
    LeaseThread(#[source] std::io::Error),
}

/// What every part of a worker works with.
struct Context {
    config: Config,
    /// The makima executable, which is each agent's shim.
    executable: PathBuf,
    store: Store,
    queue: Queue,
    repositories: Arc<repository::RepositoryCache>,
    github: github::GitHub,
    clients: agent::Clients,
    runner: Box<dyn Runner>,
    /// What holds agents, once it was seen to.
    sandbox: tokio::sync::OnceCell<sandbox::Sandbox>,
}

/// Runs a worker until the token is cancelled, then drains: checkpoints its tasks and hands them back.
///
/// PostgreSQL and Redis may come and go meanwhile. A worker that loses its lease stops its agents and comes back under a
/// fresh id.
///
/// # Errors
/// The data directory or the lease's thread cannot be had.
pub async fn run(
    mut config: Config,
    executable: PathBuf,
    runner: Box<dyn Runner>,
    store: Store,
    queue: Queue,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    let repositories = Arc::new(
        repository::RepositoryCache::new(config.worker.data_dir.clone())
            .limited_to(config.worker.max_cache_bytes)
            .with_depth(config.worker.repository_depth),
    );
    let github = github::GitHub::of_environment(&config.worker.github_api_url);
    let clients = agent::Clients::find(&config.worker);
    config.worker.labels = clients.labels(&config.worker.labels);
    let context = Arc::new(Context {
        config,
        executable,
        store,
        queue,
        repositories,
        github,
        clients,
        runner,
        sandbox: tokio::sync::OnceCell::new(),
    });
    while !shutdown.is_cancelled() {
        // Boxed, because it holds every part of a life.
        Box::pin(pool::live(&context, &shutdown)).await?;
    }
    Ok(())
}
