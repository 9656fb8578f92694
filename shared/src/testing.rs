//! Where the tests of every crate find their servers.
//!
//! `DATABASE_URL` names the PostgreSQL in which each test makes a database of its own. `MAKIMA_TEST_POOLER`, if it is set,
//! is the URL of a pooler before it, without a database: stores then go through that one. `REDIS_URL` names the Redis in
//! which each test has a prefix of its own; of a cluster it names all nodes that hold slots.

#![allow(clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]

pub mod files;

use redis::Cmd;
use redis::aio::MultiplexedConnection;
use sqlx::PgPool;
use url::Url;

use crate::queue;
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

/// Returns the keys below a prefix, wherever they are.
///
/// # Panics
/// Redis is away.
pub async fn redis_keys(prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for mut node in redis_nodes().await {
        found.extend(keys_of(&mut node, prefix).await);
    }
    found
}

/// Loses all keys below a prefix, as FLUSHALL would. Returns how many there were.
///
/// # Panics
/// Redis is away.
pub async fn redis_lose(prefix: &str) -> usize {
    let mut lost = 0;
    for mut node in redis_nodes().await {
        let keys = keys_of(&mut node, prefix).await;
        if !keys.is_empty() {
            lost += ask::<usize>(&mut node, redis::cmd("DEL").arg(keys)).await;
        }
    }
    lost
}

/// Returns the channels below a prefix that somebody has subscribed to.
///
/// # Panics
/// Redis is away.
pub async fn redis_channels(prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for mut node in redis_nodes().await {
        let pattern = format!("{prefix}:*");
        let channels: Vec<String> = ask(&mut node, redis::cmd("PUBSUB").arg("CHANNELS").arg(pattern)).await;
        found.extend(channels);
    }
    found
}

async fn redis_nodes() -> Vec<MultiplexedConnection> {
    let mut nodes = Vec::new();
    for client in queue::clients(&redis_url()).expect("REDIS_URL names a Redis") {
        nodes.push(client.get_multiplexed_async_connection().await.expect("Redis is there"));
    }
    nodes
}

/// SCAN, because KEYS is nothing that a user of few rights may do.
async fn keys_of(node: &mut MultiplexedConnection, prefix: &str) -> Vec<String> {
    let (mut cursor, mut found) = (0_u64, Vec::new());
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{prefix}:*")).arg("COUNT").arg(10_000);
        let (next, keys): (u64, Vec<String>) = ask(node, &scan).await;
        found.extend(keys);
        if next == 0 {
            return found;
        }
        cursor = next;
    }
}

async fn ask<T: redis::FromRedisValue>(node: &mut MultiplexedConnection, command: &Cmd) -> T {
    command.query_async(node).await.expect("Redis answers")
}
