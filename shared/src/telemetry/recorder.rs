//! The recorder of the process: what the metric macros write to, and what `/metrics` shows.
//!
//! A process that shows its metrics to nobody installs none, and the macros then cost next to nothing.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use super::TelemetryError;
use super::names::{ALL, Kind};

/// How often the recorded histograms are folded, scraped or not: between two folds they hold every single value.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

static HANDLE: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Tells whether the process records metrics: what is costly to measure is not measured for nobody.
#[must_use]
pub fn metrics_are_recorded() -> bool {
    HANDLE.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Installs the metrics recorder of the process, once, and returns the handle that renders it for `/metrics`.
///
/// # Errors
/// Another recorder is installed.
pub fn init_metrics() -> Result<PrometheusHandle, TelemetryError> {
    let mut handle = HANDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*handle {
        return Ok(handle.clone());
    }
    let installed = install().map_err(TelemetryError::Metrics)?;
    Ok(handle.insert(installed).clone())
}

fn install() -> Result<PrometheusHandle, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in ALL {
        if let Kind::Histogram(buckets) = metric.kind {
            let matcher = Matcher::Full(metric.name.to_owned());
            builder = builder.set_buckets_for_metric(matcher, buckets.bounds())?;
        }
    }
    let handle = builder.install_recorder()?;
    for metric in ALL {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram(_) => describe_histogram!(metric.name, metric.help),
        }
    }
    // A counter that is not there until it first rises hides that rise.
    for metric in ALL.iter().filter(|metric| metric.kind == Kind::Counter && metric.labels.is_empty()) {
        metrics::counter!(metric.name).absolute(0);
    }
    Ok(handle)
}

/// Keeps the recorder small until the token is cancelled.
pub async fn keep_metrics(handle: PrometheusHandle, shutdown: CancellationToken) {
    let mut period = tokio::time::interval(UPKEEP_PERIOD);
    while shutdown.run_until_cancelled(period.tick()).await.is_some() {
        handle.run_upkeep();
    }
}
