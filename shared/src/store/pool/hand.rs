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
pub(super) struct Hand(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    connections: Vec<Held>,
    /// How many ask the pool for a connection, and may have looked at it before the others took theirs.
    wishes: usize,
    /// A task gives back what lies here for too long.
    is_watched: bool,
}

/// Somebody's wish for one of the pool's connections, until it is dropped.
pub(super) struct Wish(Hand);

impl Drop for Wish {
    fn drop(&mut self) {
        self.0.lock().wishes -= 1;
    }
}

impl std::fmt::Debug for Hand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Hand").field(&self.lock().connections.len()).finish()
    }
}

impl Hand {
    /// Takes the connection that was used last, or one of the pool's.
    pub(super) async fn take(&self, pool: &PgPool) -> Result<Held, sqlx::Error> {
        // One that lay here for too long goes back before another is asked for.
        let held = self.lock().connections.pop().filter(Held::is_fresh);
        if let Some(held) = held {
            return Ok(held);
        }
        let _wish = self.wish(pool);
        Ok(Held { connection: pool.acquire().await?, since: Instant::now() })
    }

    /// Keeps a connection whose statement has ended well, unless somebody may be waiting for it.
    pub(super) fn keep(&self, held: Held, pool: &PgPool) {
        let mut kept = self.lock();
        if !held.is_fresh() || kept.connections.len() >= MOST || spare(pool) <= kept.wishes {
            return;
        }
        kept.connections.push(held);
        if !std::mem::replace(&mut kept.is_watched, true) {
            tokio::spawn(self.clone().give_back());
        }
    }

    /// Gives a connection back where the pool has not one for each who asks. To be called before a connection is asked for,
    /// and kept until it is there.
    pub(super) fn wish(&self, pool: &PgPool) -> Wish {
        let mut kept = self.lock();
        kept.wishes += 1;
        if spare(pool) < kept.wishes {
            drop(kept.connections.pop());
        }
        Wish(self.clone())
    }

    /// Gives all back.
    pub(super) fn clear(&self) {
        self.lock().connections.clear();
    }

    /// Gives back what lies here for too long, until there is nothing left.
    async fn give_back(self) {
        loop {
            sleep(KEPT_FOR).await; // why: see KEPT_FOR
            let mut kept = self.lock();
            kept.connections.retain(Held::is_fresh);
            if kept.connections.is_empty() {
                kept.is_watched = false;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn is_fresh(&self) -> bool {
        self.since.elapsed() < KEPT_FOR
    }
}

/// Returns how many connections the pool could give out now.
fn spare(pool: &PgPool) -> usize {
    if pool.is_closed() {
        return 0;
    }
    let unmade = pool.options().get_max_connections().saturating_sub(pool.size());
    pool.num_idle().saturating_add(usize::try_from(unmade).unwrap_or(usize::MAX))
}
