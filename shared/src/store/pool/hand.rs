//! Connections that are kept at hand for the next statement, for a moment after the one before.
//!
//! sqlx tries a connection each time that it is given back to its pool: one more round trip for each statement, while its
//! caller goes on and others wait for the same cores. A connection whose statement has just ended well needs no trial. It
//! goes back, and is tried, after [`KEPT_FOR`] or when nobody else has one to give.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use tokio::time::{Instant, sleep};

/// How long a connection stays out of its pool between two trials.
const KEPT_FOR: Duration = Duration::from_secs(1);
/// How many connections are kept at once.
const MOST: usize = 4;

/// A connection, and since when it is out of its pool.
pub(super) struct Held {
    pub(super) connection: PoolConnection<Postgres>,
    since: Instant,
}

/// The connections at hand. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Hand(Arc<Mutex<Vec<Held>>>);

impl std::fmt::Debug for Hand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Hand").field(&self.lock().len()).finish()
    }
}

impl Hand {
    /// Takes the connection that was used last, or one of the pool's.
    pub(super) async fn take(&self, pool: &PgPool) -> Result<Held, sqlx::Error> {
        // One that lay here for too long goes back before another is asked for.
        let held = self.lock().pop().filter(Held::is_fresh);
        match held {
            Some(held) => Ok(held),
            None => Ok(Held { connection: pool.acquire().await?, since: Instant::now() }),
        }
    }

    /// Keeps a connection whose statement has ended well, unless somebody may be waiting for it.
    pub(super) fn keep(&self, held: Held, pool: &PgPool) {
        if !held.is_fresh() || !has_spare(pool) {
            return;
        }
        let mut kept = self.lock();
        if kept.len() >= MOST {
            return;
        }
        kept.push(held);
        if kept.len() == 1 {
            tokio::spawn(self.clone().give_back());
        }
    }

    /// Gives a connection back where the pool has no other.
    pub(super) fn make_room(&self, pool: &PgPool) {
        if !has_spare(pool) {
            drop(self.lock().pop());
        }
    }

    /// Gives all back.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// Gives back what lies here for too long, until there is nothing left.
    async fn give_back(self) {
        loop {
            sleep(KEPT_FOR).await; // why: see KEPT_FOR
            let mut kept = self.lock();
            kept.retain(Held::is_fresh);
            if kept.is_empty() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn is_fresh(&self) -> bool {
        self.since.elapsed() < KEPT_FOR
    }
}

/// Tells whether the pool could give out another connection now.
fn has_spare(pool: &PgPool) -> bool {
    !pool.is_closed() && (pool.num_idle() > 0 || pool.size() < pool.options().get_max_connections())
}
