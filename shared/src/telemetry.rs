//! Logs and metrics of a process. `docs/LOGGING.md` says what is logged where, and what never is.

use std::sync::{Mutex, PoisonError};

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::{LogConfig, LogFormat};

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is no list of directives.
    #[error("log.filter cannot be read: use directives such as info,makima_worker=debug")]
    Filter(#[source] ParseError),
    /// Somebody set up logging before.
    #[error("logging was set up twice")]
    AlreadySet,
    /// The metrics recorder could not be installed.
    #[error("metrics could not be set up")]
    Metrics(#[source] BuildError),
}

/// Sends logs to standard error, in the configured form.
///
/// # Errors
/// The filter cannot be read, or logging was set up before.
pub fn init_logs(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&config.filter).map_err(TelemetryError::Filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Whoever reads the log may be gone; that is no reason to fall.
        .log_internal_errors(false);
    let result = match config.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder
            .with_target(false)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .try_init(),
    };
    result.map_err(|_taken| TelemetryError::AlreadySet)
}

/// Installs the metrics recorder of the process, once, and returns the handle that renders it for `/metrics`.
///
/// # Errors
/// Another recorder is installed.
pub fn init_metrics() -> Result<PrometheusHandle, TelemetryError> {
    static HANDLE: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut handle = HANDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*handle {
        return Ok(handle.clone());
    }
    let installed = PrometheusBuilder::new().install_recorder().map_err(TelemetryError::Metrics)?;
    Ok(handle.insert(installed).clone())
}
