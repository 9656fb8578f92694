//! From an address to a server, and its orderly end.
//!
//! When the token is cancelled the server takes no new connection, open event streams end at once, and requests under
//! way may finish within [`FINISH_WITHIN`]. Hints that were begun are still given.
//!
//! A client costs no more than `limits.rs` says, with a key or without: connections are counted, and one that sends half
//! a request or does not read what it asked for is cut off.

mod connections;
mod limits;
mod stall;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use makima_shared::config::ApiConfig;
use makima_shared::queue::Queue;
use makima_shared::store::Store;
use makima_shared::telemetry::TelemetryError;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::routes::app;
use crate::state::AppState;
use limits::Limits;

/// How long requests under way may take once the end was asked for.
const FINISH_WITHIN: Duration = Duration::from_secs(10);
/// How long a request waits for a connection to PostgreSQL before it is answered with 503: longer than a busy disk stalls.
const STORE_PATIENCE: Duration = Duration::from_secs(3);

/// Why the API could not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The metrics of the process could not be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The listener has no address.
    #[error("cannot tell the address that the API listens on")]
    Serve(#[source] std::io::Error),
}

/// Serves the API on the configured address until the token is cancelled. PostgreSQL and Redis may come and go meanwhile.
///
/// # Errors
/// The address cannot be listened on.
pub async fn run(
    config: ApiConfig,
    store: Store,
    queue: Queue,
    shutdown: CancellationToken,
) -> Result<(), ApiError> {
    let address = config.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| ApiError::Bind { address, source })?;
    let store = store.with_patience(STORE_PATIENCE);
    let state = AppState::new(store.clone(), queue, config.policy, shutdown)?.with_vault(config.vault);
    let served = serve(listener, state).await;
    store.close().await;
    served
}

/// Serves the API on a listener that stands already, until the state's token is cancelled.
///
/// # Errors
/// The listener has no address.
pub async fn serve(listener: TcpListener, state: AppState) -> Result<(), ApiError> {
    let address = listener.local_addr().map_err(ApiError::Serve)?;
    tracing::info!(%address, "the API listens");
    state.start_background();
    let hints = state.hints.clone();
    let shutdown = state.shutdown.clone();
    serve_app(listener, app(state), shutdown).await;
    hints.finish().await;
    tracing::info!(%address, "the API has stopped");
    Ok(())
}

/// Serves any routes on a listener, within the limits of the process, until the token is cancelled.
pub(crate) async fn serve_app(listener: TcpListener, app: Router, shutdown: CancellationToken) {
    let server = connections::serve(listener, app, Limits::of_process(), shutdown.clone());
    tokio::select! {
        () = server => {}
        () = out_of_patience(&shutdown) => tracing::warn!("requests that were still under way were cut off"),
    }
}

async fn out_of_patience(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(FINISH_WITHIN).await; // why: a client that never reads must not keep the process
}
