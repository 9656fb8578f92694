//! The store's connections: straight to PostgreSQL, or through a pooler in transaction mode (`pgbouncer=true` in the URL).
//!
//! Such a pooler gives each transaction any of its server connections, so nothing of the store may outlive a transaction.
//! Behind one, every statement runs in a transaction: a statement is sent to be parsed and then once more to be run, and
//! must meet the same server connection both times. Its prologue clears what other clients left on the connection (names
//! of prepared statements collide), and sets what a direct connection gets when it is made.
//!
//! A direct connection is kept at hand from one statement to the next ([`hand`]).
//!
//! Session locks, LISTEN, temporary tables and SET are used nowhere.

mod hand;

use std::str::FromStr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{
    ConnectOptions, Connection, Describe, Either, Execute, Executor, PgConnection, PgPool, Postgres, SqlStr,
    Transaction,
};
use tokio::time::timeout;
use url::Url;

use hand::Hand;

/// How long a caller waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection that was at rest for longer is tried before it is given out. It was tried when it was given back, and a
/// round trip before every statement is a large part of a short one.
const TRIED_AFTER: Duration = Duration::from_secs(1);
/// The settings of a direct connection, which come with the connection.
///
/// Every statement has an index to go by. A plan that was made while a table was small would read all of it, and is kept
/// until the table's statistics change, which may be a million rows later. None runs for so long that compiling it pays.
const SETTINGS: [(&str, &str); 4] = [
    ("statement_timeout", "60s"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("enable_seqscan", "off"),
    ("jit", "off"),
];
/// How a transaction behind a pooler begins: the same settings, for it alone.
const PROLOGUE: &str = "BEGIN; SET LOCAL statement_timeout = '60s'; \
    SET LOCAL idle_in_transaction_session_timeout = '5s'; SET LOCAL enable_seqscan = off; SET LOCAL jit = off; DEALLOCATE ALL";

/// A pool of connections. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    connections: PgPool,
    pooler: bool,
    /// None where whoever made the pool minds what is out of it.
    hand: Option<Hand>,
}

impl Pool {
    /// Opens a pool. Connections are made when they are needed.
    pub(super) fn open(url: &str, max_connections: u32, application: &str) -> Result<Self, sqlx::Error> {
        let (url, pooler) = without_pooler(url)?;
        let options =
            PgConnectOptions::from_str(&url)?.application_name(application).disable_statement_logging();
        let options = if pooler {
            // A pooler refuses parameters that it does not track, and keeps no statement for the next transaction.
            options.extra_float_digits(None).statement_cache_capacity(0)
        } else {
            options.options(SETTINGS)
        };
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move {
                    if about.idle_for > TRIED_AFTER {
                        // One that fails here is closed, and another is given out.
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            });
        let hand = (!pooler).then(Hand::default);
        Ok(Self { connections: pool.connect_lazy_with(options), pooler, hand })
    }

    /// Returns a pool of its own to the same place, which gives up after `patience` when there is no connection to be had.
    pub(super) fn with_patience(&self, patience: Duration) -> Self {
        let options = self.connections.options().clone().acquire_timeout(patience);
        let connections = options.connect_lazy_with(self.connections.connect_options().as_ref().clone());
        Self { connections, pooler: self.pooler, hand: self.hand.as_ref().map(|_| Hand::default()) }
    }

    /// Begins a transaction, in a task of its own: who drops this future does not stop it half-way. sqlx 0.9.0 gives a
    /// connection on whose BEGIN nobody waits any more back to the pool with the transaction open (sqlx issue 4393), and
    /// what the next one writes there is confirmed and then lost.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let wish = self.hand.as_ref().map(|hand| hand.wish(&self.connections));
        let pool = self.clone();
        let begin = tokio::spawn(async move {
            let _wish = wish;
            if pool.pooler {
                pool.connections.begin_with(PROLOGUE).await
            } else {
                pool.connections.begin().await
            }
        });
        // A pooler takes clients at once, and lets their first statement wait for a connection to the server.
        let begun = timeout(self.connections.options().get_acquire_timeout(), begin).await;
        begun
            .map_err(|_elapsed| sqlx::Error::PoolTimedOut)?
            .map_err(|_panicked| sqlx::Error::WorkerCrashed)?
    }

    /// Makes a connection that belongs to no pool, straight to PostgreSQL, for a statement that is one and the same
    /// each time: it is planned once, and given up after `patience`.
    pub(super) async fn connect_apart(&self, patience: Duration) -> Result<PgConnection, sqlx::Error> {
        let patience = patience.as_millis().max(1).to_string(); // 0 would be no limit.
        let settings = [("plan_cache_mode", "force_generic_plan"), ("statement_timeout", patience.as_str())];
        let options = self.connections.connect_options().as_ref().clone();
        PgConnection::connect_with(&options.options(settings)).await
    }

    /// Tells whether a pooler in transaction mode stands before PostgreSQL.
    pub(super) fn is_pooler(&self) -> bool {
        self.pooler
    }

    /// Closes all connections, once what runs on them has ended.
    pub(super) async fn close(&self) {
        let closing = self.connections.close();
        if let Some(hand) = &self.hand {
            hand.clear();
        }
        closing.await;
    }
}

impl From<PgPool> for Pool {
    fn from(connections: PgPool) -> Self {
        Self { connections, pooler: false, hand: None }
    }
}

/// Takes the word that a pooler stands before PostgreSQL out of a URL.
fn without_pooler(url: &str) -> Result<(String, bool), sqlx::Error> {
    let mut url = Url::parse(url).map_err(|error| sqlx::Error::Configuration(error.into()))?;
    let (own, others): (Vec<_>, Vec<_>) =
        url.query_pairs().into_owned().partition(|(key, _value)| key == "pgbouncer");
    let Some((_key, value)) = own.last() else { return Ok((url.into(), false)) };
    let pooler = value
        .parse()
        .map_err(|_| sqlx::Error::Configuration("pgbouncer in the URL is true or false".into()))?;
    url.set_query(None);
    if !others.is_empty() {
        url.query_pairs_mut().extend_pairs(others);
    }
    Ok((url.into(), pooler))
}

/// Runs single statements: each on any connection or, behind a pooler, in a transaction of its own. Rows are handed over
/// once they are committed.
impl<'c> Executor<'c> for &'c Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        if let Some(hand) = &self.hand {
            let answer = async move {
                let mut held = hand.take(&self.connections).await?;
                let results: Vec<_> = held.connection.fetch_many(query).try_collect().await?;
                hand.keep(held, &self.connections);
                Ok::<_, sqlx::Error>(stream::iter(results.into_iter().map(Ok)))
            };
            return stream::once(answer).try_flatten().boxed();
        }
        if !self.pooler {
            return self.connections.fetch_many(query);
        }
        let answer = async move {
            let mut txn = self.begin().await?;
            let results: Vec<_> = txn.fetch_many(query).try_collect().await?;
            txn.commit().await?;
            Ok::<_, sqlx::Error>(stream::iter(results.into_iter().map(Ok)))
        };
        stream::once(answer).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        if let Some(hand) = &self.hand {
            let answer = async move {
                let mut held = hand.take(&self.connections).await?;
                let row = held.connection.fetch_optional(query).await?;
                hand.keep(held, &self.connections);
                Ok(row)
            };
            return answer.boxed();
        }
        if !self.pooler {
            return self.connections.fetch_optional(query);
        }
        let answer = async move {
            let mut txn = self.begin().await?;
            let row = txn.fetch_optional(query).await?;
            txn.commit().await?;
            Ok(row)
        };
        answer.boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.connections.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.connections.describe(sql)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pooler_is_named_in_the_url_and_the_rest_is_left_as_it_is() {
        let split = |url| without_pooler(url).unwrap();
        let plain = "postgres://user:p%40ss@%2Frun%2Fpg/db?sslmode=verify-full&sslrootcert=%2Fca.pem";
        assert_eq!(split(plain), (plain.to_owned(), false));
        assert_eq!(split("postgres://h/db?pgbouncer=true"), ("postgres://h/db".to_owned(), true));
        assert_eq!(split("postgres://h/db?pgbouncer=false"), ("postgres://h/db".to_owned(), false));
        let (rest, pooler) = split("postgres://h/db?sslmode=require&pgbouncer=true&user=a");
        assert_eq!((rest.as_str(), pooler), ("postgres://h/db?sslmode=require&user=a", true));
        assert!(without_pooler("postgres://h/db?pgbouncer=yes").is_err());
    }
}
