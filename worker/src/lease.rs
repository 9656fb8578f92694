//! The worker's lease: renewed by a thread with a runtime and a connection of its own, so that neither busy cores nor a
//! busy pool can make it late.
//!
//! Each renewal tells the dead man's switches how long agents may run on: until a margin before the lease ends, counted
//! from before the request was sent. A worker that is frozen or cut off so loses its agents first and its tasks after.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use makima_shared::config::Config;
use makima_shared::domain::{Quarantine, WorkerId};
use makima_shared::store::{LeaseConnection, Renewal, Store, StoreError};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::process::{DeadManSwitches, boottime_ms};

/// The part of the lease, as a divisor, after which a worker without tasks beats.
const IDLE_DIVISOR: u32 = 2;
/// The part of the lease, as a divisor, that lies between the end of the agents and the end of the lease.
const MARGIN_DIVISOR: u32 = 5;

/// A lease that is being renewed. Dropping it ends the renewal.
pub(crate) struct Lease {
    /// Cancelled when the lease is lost. Agents are dead then, or as good as.
    pub(crate) lost: CancellationToken,
    /// Kills agents when the lease is not renewed.
    pub(crate) switches: Arc<DeadManSwitches>,
    /// The quarantine that the worker is in, as of its last beat.
    pub(crate) quarantine: Arc<watch::Sender<Option<Quarantine>>>,
    /// The worker holds no task.
    idle: Arc<AtomicBool>,
    /// Calls for a beat at once.
    call: Arc<Notify>,
    ended: CancellationToken,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

impl Lease {
    /// Renews the lease of a worker that registered after `registered_ms`, in milliseconds of [`boottime_ms`].
    pub(crate) fn keep(config: &Config, worker: WorkerId, registered_ms: u64) -> std::io::Result<Self> {
        let length = config.worker.lease;
        let usable = length - length / MARGIN_DIVISOR;
        let lease = Self {
            lost: CancellationToken::new(),
            switches: DeadManSwitches::new(),
            quarantine: Arc::new(watch::Sender::new(None)),
            idle: Arc::default(),
            call: Arc::default(),
            ended: CancellationToken::new(),
        };
        let deadline_ms = after(registered_ms, usable);
        lease.switches.extend(deadline_ms);
        let beat = Beat {
            worker,
            length,
            usable,
            period: config.worker.beat,
            idle_period: longest_beat(config),
            database_url: config.database.url.clone(),
            switches: Arc::clone(&lease.switches),
            quarantine: Arc::clone(&lease.quarantine),
            idle: Arc::clone(&lease.idle),
            call: Arc::clone(&lease.call),
        };
        let (lost, ended) = (lease.lost.clone(), lease.ended.clone());
        thread::Builder::new().name("lease".to_owned()).spawn(move || {
            // However the thread ends, the worker must not go on without it.
            let _lost = lost.drop_guard();
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(beat.run(deadline_ms, &ended)),
                Err(error) => error!(%error, "the lease's thread has no runtime"),
            }
        })?;
        Ok(lease)
    }

    /// Renews the lease now, without waiting for the next beat.
    pub(crate) fn beat_now(&self) {
        self.call.notify_one();
    }

    /// Says whether the worker holds tasks. With none it beats less often: nobody waits for its death to be noticed, and
    /// a large fleet at rest should cost little.
    pub(crate) fn set_idle(&self, idle: bool) {
        if self.idle.swap(idle, Ordering::Relaxed) && !idle {
            self.beat_now();
        }
    }
}

/// Returns the longest time between two beats, which is that of a worker without tasks.
pub(crate) fn longest_beat(config: &Config) -> Duration {
    config.worker.beat.max(config.worker.lease / IDLE_DIVISOR)
}

fn after(start_ms: u64, length: Duration) -> u64 {
    start_ms.saturating_add(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
}

struct Beat {
    worker: WorkerId,
    length: Duration,
    usable: Duration,
    period: Duration,
    idle_period: Duration,
    database_url: String,
    switches: Arc<DeadManSwitches>,
    quarantine: Arc<watch::Sender<Option<Quarantine>>>,
    idle: Arc<AtomicBool>,
    call: Arc<Notify>,
}

impl Beat {
    /// Renews until the lease is lost or not wanted any more.
    async fn run(&self, mut deadline_ms: u64, ended: &CancellationToken) {
        let mut lease = match Store::open(&self.database_url, 1, "makima-lease") {
            Ok(store) => store.lease_connection(self.period),
            Err(error) => return error!(error = &error as &dyn std::error::Error, "the lease has no store"),
        };
        let mut pause = self.period;
        loop {
            tokio::select! {
                () = ended.cancelled() => return,
                () = self.call.notified() => {}
                () = sleep(pause) => {} // why: the beat
            }
            let period = self.period();
            let asked_ms = boottime_ms();
            if asked_ms >= deadline_ms {
                return warn!(worker.id = %self.worker, "the lease could not be renewed in time: stopping all agents");
            }
            match self.renew(&mut lease, deadline_ms - asked_ms, period).await {
                Some(Ok(Renewal::Held(quarantine))) => {
                    deadline_ms = after(asked_ms, self.usable);
                    self.switches.extend(deadline_ms);
                    self.quarantine
                        .send_if_modified(|known| std::mem::replace(known, quarantine.clone()) != quarantine);
                    pause = period;
                }
                Some(Ok(Renewal::Over)) => {
                    return warn!(worker.id = %self.worker, "the lease ran out, or was ended with the connection: stopping all agents");
                }
                Some(Err(error)) => {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "the lease was not renewed, trying again"
                    );
                    pause = self.period / 4;
                }
                None => {
                    warn!("the renewal of the lease got no answer, trying again");
                    pause = Duration::ZERO;
                }
            }
        }
    }

    /// Asks once, for as long as a beat at most; `None` if no answer came.
    async fn renew(
        &self,
        lease: &mut LeaseConnection,
        left_ms: u64,
        next: Duration,
    ) -> Option<Result<Renewal, StoreError>> {
        let patience = self.period.min(Duration::from_millis(left_ms));
        timeout(patience, lease.renew(self.worker, self.length, next)).await.ok()
    }

    /// Returns how long it is to the next beat.
    fn period(&self) -> Duration {
        if self.idle.load(Ordering::Relaxed) { self.idle_period } else { self.period }
    }
}
