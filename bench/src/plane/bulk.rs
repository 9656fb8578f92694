//! Throughput: tasks submitted in bulk over HTTP, claimed, and done.
//!
//! From before the first POST to the event of the last end. Rounds of it take turns with rounds of S.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use sqlx::PgConnection;

use super::workers::{Fleet, Workers};
use super::{BULK, Measured, Plane, null_worker, until};
use crate::floors::plain_sql::PlainSql;
use crate::floors::{Floor, Floors};
use crate::report::{Row, thousands};
use crate::samples::{Samples, rate};

/// Rounds that are measured; one more comes first.
const ROUNDS: usize = 5;
/// Tasks of one round.
const TASKS: usize = 20_000;
/// Tasks of one round of S.
const PLAIN_TASKS: usize = 10_000;
/// Requests under way at once.
const CLIENTS: usize = 2;
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Measures it.
pub(super) async fn measure(plane: &Plane<'_>) -> anyhow::Result<Measured> {
    let fleet = Fleet { processes: 2, lives: 1, slots: 500, tell: None };
    let workers = Workers::start_idle(plane, &fleet).await?;
    let mut connection = plane.servers.connect().await?;
    let mut plain = PlainSql::open(&plane.servers).await?;
    let phase = plane.progress.phase("tasks in bulk", ROUNDS);
    round(plane, &mut connection).await?;
    let (mut rates, mut answered, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floor.push(plain.tasks(PLAIN_TASKS, &phase).await?);
        let (whole, submitted) = round(plane, &mut connection).await?;
        rates.push(whole);
        answered.push(submitted);
        phase.step();
    }
    plain.close().await?;
    workers.stop().await?;
    let mut floors = Floors::default();
    floors.add(Floor::SqlTasks, Samples::of(floor));
    let name = format!("{} tasks in bulk, first POST → last done", thousands(TASKS));
    let rows = vec![
        Row::per_second(name, Samples::of(rates), &[(1, Floor::SqlTasks)]).bar("0.5 S = 2 x"),
        Row::per_second("· first POST → last answer", Samples::of(answered), &[(1, Floor::SqlTasks)]),
    ];
    Ok((rows.into_iter().map(|row| row.beside(&floors)).collect(), floors))
}

/// Returns how many tasks there were per second up to the last end, and up to the last answer.
async fn round(plane: &Plane<'_>, connection: &mut PgConnection) -> anyhow::Result<(f64, f64)> {
    let tasks = vec![plane.task(null_worker::RETURN); BULK];
    let start = SystemTime::now();
    stream::iter(0..TASKS / BULK)
        .map(|_| plane.api.submit_bulk(&tasks))
        .buffer_unordered(CLIENTS)
        .try_for_each(async |_ids| Ok(()))
        .await?;
    let submitted = SystemTime::now();
    until(LOOK_EVERY, async || none_open(connection).await).await?;
    let last = "SELECT max(created_at) FROM task_events WHERE created_at >= $1";
    let last: Option<DateTime<Utc>> =
        sqlx::query_scalar(last).bind(DateTime::<Utc>::from(start)).fetch_one(connection).await?;
    let last = SystemTime::from(last.context("nothing was done")?);
    Ok((rate(TASKS, start, last), rate(TASKS, start, submitted)))
}

async fn none_open(connection: &mut PgConnection) -> anyhow::Result<bool> {
    let open = "SELECT EXISTS (SELECT FROM tasks WHERE status = 'queued') \
                OR EXISTS (SELECT FROM tasks WHERE worker_id IS NOT NULL)";
    let open: bool = sqlx::query_scalar(open).fetch_one(connection).await?;
    Ok(!open)
}
