//! All SQL. PostgreSQL is the truth of makima: what is not here did not happen.
//!
//! Queries are checked against the schema when the crate is compiled, from the descriptions in `.sqlx/`; `make sqlx`
//! writes those anew. Functions are named noun first. Reads and writes for a client take the owner, so that no row of
//! another owner can be reached; writes of an attempt take its epoch, and answer [`Fenced::Stale`] once it is over.

mod api_keys;
mod attempts;
mod checkpoints;
mod conversations;
mod events;
mod leader;
mod lease_connection;
mod messages;
mod migrate;
mod overview;
mod owners;
mod pool;
mod pooler;
mod prune;
mod quarantine;
mod schedules;
mod secrets;
mod silence;
mod tasks;
mod workers;

use std::time::Duration;

use sqlx::PgPool;
use sqlx::migrate::Migrator;

use crate::telemetry::names;

pub use api_keys::Caller;
pub use attempts::{HeldAttempt, OpenAttempt};
pub use checkpoints::CheckpointWritten;
pub use leader::LeaderProof;
pub use lease_connection::LeaseConnection;
pub use messages::{MessageError, MessageKey, MessageTaken};
pub use overview::{FleetLoad, rest_after};
use pool::Pool;
pub use pooler::PoolerError;
pub use prune::PrunedOutput;
pub use quarantine::QuarantinedWorker;
pub use schedules::{DueSchedule, FiredRun, ScheduleFilter, SchedulePage};
pub use secrets::{SecretSet, StoredSecret};
pub use silence::WorkerBeat;
pub use tasks::{
    AcceptedTask, Applied, AppliedAll, ChangeError, DeleteError, DeletedTask, LostAttempt, Move, Moved,
    Promoted, ReadyTask, RetryCompletionOutcome, Settled, StartOutcome, SubmitError, Submitted, TaskFilter,
    TaskNews, TaskPage, WaitingFacts,
};
pub use workers::Renewal;

/// The schema's migrations, part of the binary.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// The store: a pool of connections to PostgreSQL. Clones share the pool.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
}

/// Whether an attempt's write was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a stale attempt must stop"]
pub enum Fenced<T> {
    /// The write was taken.
    Accepted(T),
    /// The attempt is over: its task was cancelled, or given to somebody else. Nothing was written.
    Stale,
}

impl<T> Fenced<T> {
    fn from_option(value: Option<T>) -> Self {
        match value {
            Some(value) => Self::Accepted(value),
            None => {
                metrics::counter!(names::STALE_WRITES).increment(1);
                Self::Stale
            }
        }
    }
}

/// What can go wrong between makima and PostgreSQL.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// PostgreSQL cannot be reached, is starting, stopping or full: try again later. Whether a write that failed so was
    /// carried out is not known.
    #[error("PostgreSQL is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// Anything else: a bug, or a row that somebody else wrote.
    #[error("PostgreSQL refused a statement")]
    Database(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the migrations did not run")]
    Migration(#[source] Box<sqlx::migrate::MigrateError>),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let passing = is_passing(&error);
        let kind = if passing { "unavailable" } else { "refused" };
        metrics::counter!(names::STORE_ERRORS, "kind" => kind).increment(1);
        if passing { Self::Unavailable(error) } else { Self::Database(error) }
    }
}

/// Tells whether an error is PostgreSQL's state of the moment rather than the statement's fault. The classes are those
/// of appendix A of PostgreSQL's manual: 08 connection, 25P and 25006 transaction state, 40
/// rollback, 53 resources, 55P03 lock timeout, 57 operator intervention (statement timeouts too), 58 system.
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "sqlx adds errors at will; what is not named here is a bug"
)]
fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
            true
        }
        sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            ["08", "25P", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class))
                || ["25006", "55P03"].contains(&code.as_ref())
        }),
        _ => false,
    }
}

/// How long a call that must not hang waits for an answer: far longer than any statement takes, far shorter than TCP needs
/// to notice that a peer is gone.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Gives a call of the store up after a while. A connection can die without a word of it, and a reply be lost.
///
/// # Errors
/// Those of the call, and [`StoreError::Unavailable`] when no answer came. Whether a write was carried out is then not
/// known.
pub async fn answered<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(ANSWER_LIMIT, call)
        .await
        .unwrap_or_else(|_elapsed| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into()))
}

impl Store {
    /// Opens a pool. Connections are made when they are needed, so PostgreSQL may still be down.
    ///
    /// # Errors
    /// The URL cannot be read.
    pub fn open(url: &str, max_connections: u32, application: &str) -> Result<Self, StoreError> {
        Ok(Self { pool: Pool::open(url, max_connections, application)? })
    }

    /// Wraps a pool that stands already.
    #[must_use]
    pub fn from_pool(pool: PgPool) -> Self {
        Self { pool: pool.into() }
    }

    /// Returns a store over a pool of its own that gives up after `patience` when there is no connection to be had.
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self { pool: self.pool.with_patience(patience) }
    }

    /// Asks PostgreSQL for a sign of life.
    ///
    /// # Errors
    /// There is none.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Closes all connections, once what runs on them has ended.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
