//! The floors that servers set: HTTP, Redis, PostgreSQL.

use sqlx::postgres::PgConnection;

use super::{repeat, timed};
use crate::bench::Bench;
use crate::samples::Samples;
use crate::stack::Servers;

/// Samples of each, in one half.
const COUNT: usize = 250;

/// Measures the empty HTTP request.
pub(super) async fn http_requests(bench: &Bench<'_>) -> anyhow::Result<Samples> {
    let phase = bench.progress.phase("floor: HTTP request", COUNT);
    repeat(&phase, COUNT, async || timed(bench.api.healthz()).await).await
}

/// Measures the round trip to Redis.
pub(super) async fn redis_round_trips(bench: &Bench<'_>, servers: &Servers) -> anyhow::Result<Samples> {
    let queue = servers.queue()?;
    let phase = bench.progress.phase("floor: Redis round trip", COUNT);
    repeat(&phase, COUNT, async || timed(async { Ok(queue.ping().await?) }).await).await
}

/// Measures the commit of one row, on one connection that does nothing else.
pub(super) async fn commits(bench: &Bench<'_>, servers: &Servers) -> anyhow::Result<Samples> {
    let mut connection = servers.connect().await?;
    make_table(&mut connection).await?;
    let phase = bench.progress.phase("floor: PostgreSQL commit", COUNT);
    let samples = repeat(&phase, COUNT, async || timed(commit(&mut connection)).await).await?;
    drop_table(&mut connection).await?;
    Ok(samples)
}

/// Makes a table of our own, which the store's migrations know nothing of.
pub(super) async fn make_table(connection: &mut PgConnection) -> anyhow::Result<()> {
    for statement in [
        "CREATE SCHEMA IF NOT EXISTS makima_bench",
        "CREATE TABLE IF NOT EXISTS makima_bench.floor (number bigint NOT NULL)",
    ] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Removes what [`make_table`] made.
pub(super) async fn drop_table(connection: &mut PgConnection) -> anyhow::Result<()> {
    for statement in ["DROP TABLE makima_bench.floor", "DROP SCHEMA makima_bench"] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Inserts one row in a transaction of its own.
pub(super) async fn commit(connection: &mut PgConnection) -> anyhow::Result<()> {
    sqlx::query("INSERT INTO makima_bench.floor (number) VALUES ($1)")
        .bind(1_i64)
        .execute(connection)
        .await?;
    Ok(())
}
