//! The floors that servers set: HTTP, Redis, PostgreSQL.

use std::time::{Duration, Instant};

use redis::AsyncCommands;
use sqlx::postgres::PgConnection;
use tokio::time::sleep;

use super::{repeat, timed};
use crate::client::Api;
use crate::progress::Progress;
use crate::samples::Samples;
use crate::stack::Servers;

/// Samples of each, in one half.
const COUNT: usize = 250;
/// How long a client takes at most until it blocks.
const SETTLE: Duration = Duration::from_millis(1);
/// A push that does not come by then never will.
const PATIENCE_SECS: f64 = 10.0;

/// Measures the empty HTTP request.
pub(super) async fn http_requests(progress: &Progress, api: &Api) -> anyhow::Result<Samples> {
    let phase = progress.phase("floor: HTTP request", COUNT);
    repeat(&phase, COUNT, async || timed(api.healthz()).await).await
}

/// Measures the round trip to Redis.
pub(crate) async fn redis_round_trips(progress: &Progress, servers: &Servers) -> anyhow::Result<Samples> {
    let queue = servers.queue()?;
    let phase = progress.phase("floor: Redis round trip", COUNT);
    repeat(&phase, COUNT, async || timed(async { Ok(queue.ping().await?) }).await).await
}

/// Measures the push that wakes a client which waits for it, from before the push to the client's return.
pub(super) async fn redis_wakes(progress: &Progress, servers: &Servers) -> anyhow::Result<Samples> {
    const LIST: &str = "makima-bench:floor";
    let (mut pusher, mut waiter) = (servers.redis().await?, servers.redis().await?);
    let phase = progress.phase("floor: Redis push and wake", COUNT);
    repeat(&phase, COUNT, async || {
        let waiting = async {
            let entry: (String, i64) = waiter.brpop(LIST, PATIENCE_SECS).await?;
            anyhow::Ok((entry, Instant::now()))
        };
        let pushed = async {
            sleep(SETTLE).await; // why: the client has to be blocked before anything is pushed
            let start = Instant::now();
            pusher.lpush::<_, _, ()>(LIST, 1).await?;
            anyhow::Ok(start)
        };
        let ((_entry, woken), start) = tokio::try_join!(waiting, pushed)?;
        Ok(woken.saturating_duration_since(start))
    })
    .await
}

/// Measures the commit of one row, on one connection that does nothing else.
pub(crate) async fn commits(progress: &Progress, servers: &Servers) -> anyhow::Result<Samples> {
    let mut connection = servers.connect().await?;
    make_table(&mut connection).await?;
    let phase = progress.phase("floor: PostgreSQL commit", COUNT);
    let samples = repeat(&phase, COUNT, async || timed(commit(&mut connection)).await).await?;
    drop_table(&mut connection).await?;
    Ok(samples)
}

/// Makes a table of our own, which the store's migrations know nothing of.
pub(crate) async fn make_table(connection: &mut PgConnection) -> anyhow::Result<()> {
    for statement in [
        "CREATE SCHEMA IF NOT EXISTS makima_bench",
        "CREATE TABLE IF NOT EXISTS makima_bench.floor (number bigint NOT NULL)",
    ] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Removes what [`make_table`] made.
pub(crate) async fn drop_table(connection: &mut PgConnection) -> anyhow::Result<()> {
    for statement in ["DROP TABLE makima_bench.floor", "DROP SCHEMA makima_bench"] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Inserts one row in a transaction of its own.
pub(crate) async fn commit(connection: &mut PgConnection) -> anyhow::Result<()> {
    sqlx::query("INSERT INTO makima_bench.floor (number) VALUES ($1)")
        .bind(1_i64)
        .execute(connection)
        .await?;
    Ok(())
}
