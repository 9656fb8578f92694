//! The connection over which a worker renews its lease: its own, kept for nothing else, and given back to no pool.
//!
//! A pool tries a connection when it is given out and when it is given back, which are two more round trips to a process of
//! PostgreSQL that slept since the beat before: more work than the renewal itself. Here a connection that broke while it was
//! at rest shows by the renewal that fails, and the next one, over a new connection, is made at once.

use std::time::Duration;

use sqlx::PgConnection;

use super::workers::renew;
use super::{Renewal, Store, StoreError};
use crate::domain::WorkerId;

/// What a worker renews its lease by.
#[derive(Debug)]
pub struct LeaseConnection {
    store: Store,
    patience: Duration,
    /// Taken out for each renewal: one that is dropped half-way, or fails, takes its connection with it.
    kept: Option<PgConnection>,
}

impl Store {
    /// Returns what a lease is renewed by. It connects when it is needed.
    ///
    /// PostgreSQL gives a renewal up after `patience`, as its caller should: where it is alive and does not come to answer,
    /// it would hold one more connection for each renewal that nobody waits for any more.
    #[must_use]
    pub fn lease_connection(&self, patience: Duration) -> LeaseConnection {
        LeaseConnection { store: self.clone(), patience, kept: None }
    }
}

impl LeaseConnection {
    /// Renews a lease, and says within which time the next renewal comes.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn renew(
        &mut self,
        id: WorkerId,
        lease: Duration,
        beat: Duration,
    ) -> Result<Renewal, StoreError> {
        if self.store.pool.is_pooler() {
            return self.store.worker_renew(id, lease, beat).await;
        }
        if let Some(connection) = self.kept.take()
            && let Ok(renewal) = self.renew_over(connection, id, lease, beat).await
        {
            return Ok(renewal);
        }
        let connection = self.store.pool.connect_apart(self.patience).await?;
        self.renew_over(connection, id, lease, beat).await
    }

    async fn renew_over(
        &mut self,
        mut connection: PgConnection,
        id: WorkerId,
        lease: Duration,
        beat: Duration,
    ) -> Result<Renewal, StoreError> {
        let renewal = renew(&mut connection, id, lease, beat).await?;
        self.kept = Some(connection);
        Ok(renewal)
    }
}
