//! How the process itself does: alive, ready, and in numbers. No key is needed.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::state::AppState;
use crate::views::service::{Condition, HealthView, ReadyView};

type MetricsAnswer = ([(HeaderName, &'static str); 1], String);

/// How long a part may take to show that it is there.
const PATIENCE: Duration = Duration::from_millis(900);

/// Tell that the process lives
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "healthz",
    tag = "service",
    responses((status = 200, description = "It does", body = HealthView))
)]
pub(crate) async fn healthz() -> Json<HealthView> {
    Json(HealthView { status: Condition::Ok })
}

/// Tell whether PostgreSQL and Redis are there
///
/// Without Redis the API still takes submissions; they start later.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "service",
    responses(
        (status = 200, description = "Both are", body = ReadyView),
        (status = 503, description = "One is away", body = ReadyView),
    )
)]
pub(crate) async fn readyz(State(state): State<AppState>) -> (StatusCode, Json<ReadyView>) {
    let (postgresql, redis) = tokio::join!(condition(state.store.ping()), condition(state.queue.ping()));
    let both = postgresql == Condition::Ok && redis == Condition::Ok;
    let status = if both { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadyView { postgresql, redis }))
}

async fn condition<E>(ping: impl Future<Output = Result<(), E>>) -> Condition {
    match tokio::time::timeout(PATIENCE, ping).await {
        Ok(Ok(())) => Condition::Ok,
        Ok(Err(_)) | Err(_) => Condition::Away,
    }
}

/// Tell the process's metrics, in the text format of Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "service",
    responses((status = 200, description = "The metrics", body = String, content_type = "text/plain"))
)]
pub(crate) async fn metrics(State(state): State<AppState>) -> MetricsAnswer {
    metrics_answer(&state.metrics)
}

/// Returns the metrics as they stand.
pub(crate) fn metrics_answer(metrics: &PrometheusHandle) -> MetricsAnswer {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
}
