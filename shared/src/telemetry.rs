//! Logs and metrics of a process. `docs/LOGGING.md` says what is logged where, and what never is; `docs/METRICS.md` what
//! is measured.

pub mod names;
pub mod record;
mod recorder;

use metrics_exporter_prometheus::BuildError;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::{LogConfig, LogFormat};

pub use recorder::{init_metrics, keep_metrics, metrics_are_recorded};

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
