//! The load of all owners and the fleet, measured once for all who look on.
//!
//! Measuring costs as much as there are live tasks, and a terminal that shows it asks every second. So one request
//! measures, the others wait for it, and the next measurement is the later the more this one cost.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use makima_shared::domain::{FleetSize, Worker};
use makima_shared::store::{FleetLoad, Store, StoreError, rest_after};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How old a measurement may be, where it costs next to nothing.
const SHORTEST_REST: Duration = Duration::from_millis(900);

/// What was measured last. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Fleet(Arc<Mutex<Option<Kept>>>);

/// The load of all owners and the workers, at one moment.
pub(crate) struct Measured {
    pub(crate) at: DateTime<Utc>,
    pub(crate) load: FleetLoad,
    pub(crate) size: FleetSize,
    pub(crate) workers: Vec<Worker>,
}

struct Kept {
    measured: Arc<Measured>,
    until: Instant,
}

impl Fleet {
    /// Returns the last measurement, or makes another one where that is too old.
    pub(crate) async fn measured(&self, store: &Store) -> Result<Arc<Measured>, StoreError> {
        let mut kept = self.0.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| Instant::now() < kept.until) {
            return Ok(Arc::clone(&kept.measured));
        }
        let begun = Instant::now();
        let measured = Arc::new(Measured {
            at: Utc::now(),
            load: store.fleet_load().await?,
            size: store.fleet_size().await?,
            workers: store.workers_list().await?,
        });
        let until = Instant::now() + rest_after(begun.elapsed(), SHORTEST_REST);
        *kept = Some(Kept { measured: Arc::clone(&measured), until });
        Ok(measured)
    }
}
