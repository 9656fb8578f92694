//! Where the tests of every crate find their servers.
//!
//! `DATABASE_URL` names the PostgreSQL in which each test makes a database of its own. `MAKIMA_TEST_POOLER`, if it is set,
//! is the URL of a pooler before it, without a database: stores then go through that one. `REDIS_URL` names the Redis.

#![allow(clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]

use sqlx::PgPool;
use url::Url;

use crate::store::Store;

/// Returns a store over a test's database.
///
/// # Panics
/// `MAKIMA_TEST_POOLER` is no URL.
#[must_use]
pub fn store(pool: &PgPool) -> Store {
    let Ok(pooler) = std::env::var("MAKIMA_TEST_POOLER") else { return Store::from_pool(pool.clone()) };
    let mut url = Url::parse(&pooler).expect("MAKIMA_TEST_POOLER is a URL");
    url.set_path(pool.connect_options().get_database().unwrap_or_default());
    let connections = pool.options().get_max_connections();
    Store::open(url.as_str(), connections, "makima-test").expect("MAKIMA_TEST_POOLER names PostgreSQL")
}

/// Returns the URL of the tests' Redis.
///
/// # Panics
/// `REDIS_URL` is not set.
#[must_use]
pub fn redis_url() -> String {
    std::env::var("REDIS_URL").expect("REDIS_URL names a Redis for tests")
}
