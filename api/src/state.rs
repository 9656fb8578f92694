//! What every route works with. Clones share everything.

use std::sync::Arc;

use makima_shared::domain::SubmissionPolicy;
use makima_shared::queue::{LiveEvents, Queue};
use makima_shared::store::Store;
use makima_shared::telemetry::{self, TelemetryError};
use makima_shared::vault::Vault;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

use crate::auth::KeyCache;
use crate::buffers::Buffers;
use crate::fleet::Fleet;
use crate::hints::Hints;
use crate::shares::Shares;

/// How many event streams a process serves at once.
pub(crate) const MAX_STREAMS: usize = 256;
/// How many of them to one owner.
pub(crate) const MAX_STREAMS_OF_OWNER: usize = 64;

/// What every route works with.
#[derive(Clone)]
pub struct AppState {
    pub(crate) store: Store,
    pub(crate) queue: Queue,
    pub(crate) hints: Hints,
    pub(crate) live: LiveEvents,
    pub(crate) policy: SubmissionPolicy,
    /// Seals secrets; none can be set without.
    pub(crate) vault: Option<Vault>,
    pub(crate) keys: Arc<KeyCache>,
    pub(crate) fleet: Fleet,
    pub(crate) streams: Shares,
    pub(crate) buffers: Buffers,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) shutdown: CancellationToken,
}

impl AppState {
    /// Puts the parts together. Cancelling the token ends the open event streams.
    ///
    /// # Errors
    /// Another metrics recorder is installed in the process.
    pub fn new(
        store: Store,
        queue: Queue,
        policy: SubmissionPolicy,
        shutdown: CancellationToken,
    ) -> Result<Self, TelemetryError> {
        Ok(Self {
            store,
            hints: Hints::new(queue.clone()),
            live: LiveEvents::new(queue.clone()),
            queue,
            policy,
            vault: None,
            keys: Arc::default(),
            fleet: Fleet::default(),
            streams: Shares::new(MAX_STREAMS, MAX_STREAMS_OF_OWNER),
            buffers: Buffers::default(),
            metrics: telemetry::init_metrics()?,
            shutdown,
        })
    }

    /// Returns the same state, in which secrets can be set if there is a vault.
    #[must_use]
    pub fn with_vault(self, vault: Option<Vault>) -> Self {
        Self { vault, ..self }
    }

    /// Starts what runs beside the requests: word of new events, and the upkeep of the metrics. Both end with the token.
    pub fn start_background(&self) {
        let (live, shutdown) = (self.live.clone(), self.shutdown.clone());
        self.hints.track(async move { live.run(shutdown).await });
        let (metrics, shutdown) = (self.metrics.clone(), self.shutdown.clone());
        self.hints.track(telemetry::keep_metrics(metrics, shutdown));
    }
}
