//! Shows the metrics of a role that serves nothing else over HTTP.

use std::net::SocketAddr;

use anyhow::Context;
use clap::Args;
use makima_shared::config::MetricsConfig;
use makima_shared::telemetry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The flag of the roles that show their metrics here.
#[derive(Args, Debug)]
pub(crate) struct MetricsArgs {
    /// The address to show metrics on, such as 127.0.0.1:7421; nowhere if there is none
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics_listen: Option<String>,
}

/// What shows the metrics, for as long as the role runs, its draining included.
pub(crate) struct Exporter(Option<Running>);

struct Running {
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Exporter {
    /// Begins to show metrics where the configuration says so. To be called before the role begins: what is counted
    /// before is counted for nobody.
    pub(crate) async fn start(config: &MetricsConfig) -> anyhow::Result<Self> {
        let Some(address) = config.listen else { return Ok(Self(None)) };
        let (listener, address) = listen(address)
            .await
            .with_context(|| format!("metrics.listen: cannot show metrics on {address}"))?;
        let metrics = telemetry::init_metrics()?;
        tracing::info!(%address, "metrics are shown");
        let stop = CancellationToken::new();
        let serving = tokio::spawn(makima_api::export(listener, metrics, stop.clone()));
        Ok(Self(Some(Running { stop, serving })))
    }

    /// Ends it, once the role has.
    pub(crate) async fn stop(self) {
        if let Some(Running { stop, serving }) = self.0 {
            stop.cancel();
            if let Err(error) = serving.await {
                tracing::error!(%error, "showing metrics failed");
            }
        }
    }
}

/// Returns a listener with its real port.
async fn listen(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}
