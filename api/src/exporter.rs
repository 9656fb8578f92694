//! `/metrics` and `/healthz` of a process that serves nothing else: a scheduler, a worker.
//!
//! It is the API's own server, with its limits: what a stranger may cost is bounded here as there. The exporter that
//! comes with the recorder takes any number of connections and waits for half a request without end.

use axum::Router;
use axum::routing::get;
use makima_shared::telemetry::keep_metrics;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::observe::no_guessing;
use crate::routes::{self, metrics_answer};
use crate::server;

/// Shows the process's metrics on a listener that stands already, until the token is cancelled.
pub async fn export(listener: TcpListener, metrics: PrometheusHandle, shutdown: CancellationToken) {
    let shown = metrics.clone();
    let app = Router::new()
        .route("/metrics", get(async move || metrics_answer(&shown)))
        .route("/healthz", get(routes::healthz))
        .fallback(routes::unknown_route)
        .layer(axum::middleware::from_fn(no_guessing));
    tokio::join!(keep_metrics(metrics, shutdown.clone()), server::serve_app(listener, app, shutdown));
}
