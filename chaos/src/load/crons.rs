//! Cron schedules beside the load: made before anything breaks, judged when everything is whole again, and taken away so
//! that the run can end.

use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use makima_shared::domain::TaskId;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sqlx::PgPool;
use sqlx::types::Uuid;
use tokio::time::{Instant, sleep};

use super::driver::Driver;
use super::{Kind, Piece};

/// What the names of all tasks of schedules begin with.
pub(crate) const NAME: &str = "cron";
const OWNER: usize = 0;
/// By then PostgreSQL and the API answer again, whatever broke last.
const WHOLE_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A schedule of so many seconds.
#[derive(Clone, Debug)]
pub(crate) struct Cron {
    id: Uuid,
    pub(crate) period_secs: i64,
}

/// What came of one due time.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct CronRun {
    pub(crate) due_at: DateTime<Utc>,
    pub(crate) missed_until: Option<DateTime<Utc>>,
    pub(crate) task_id: Option<TaskId>,
    pub(crate) outcome: String,
    pub(crate) created_at: DateTime<Utc>,
}

/// All that came of a schedule.
#[derive(Clone, Debug)]
pub(crate) struct CronRuns {
    pub(crate) period_secs: i64,
    /// In the order of their due times.
    pub(crate) runs: Vec<CronRun>,
    /// When they were read.
    pub(crate) read_at: DateTime<Utc>,
}

/// Makes a schedule whose tasks end at once.
pub(crate) async fn begin(driver: &Driver, period_secs: i64) -> anyhow::Result<Cron> {
    let piece = Piece::one(&mut StdRng::seed_from_u64(0), Kind::Quick);
    let task = driver.body(&piece.tasks[0], &format!("{NAME}-{period_secs}"), &[]);
    let body = serde_json::json!({
        "name": format!("every {period_secs} s"), "cron": format!("*/{period_secs} * * * * *"), "task": task,
    });
    let answer = driver.client.schedule(OWNER, &body).await?;
    ensure!(answer.status == 201, "a schedule was refused: {}", answer.body);
    let id = answer.body["id"].as_str().and_then(|id| id.parse().ok()).context("a schedule has no id")?;
    Ok(Cron { id, period_secs })
}

/// Reads what came of a schedule, and takes it away with that.
pub(crate) async fn end(driver: &Driver, pool: &PgPool, cron: &Cron) -> anyhow::Result<CronRuns> {
    let give_up = Instant::now() + WHOLE_WITHIN;
    let runs = loop {
        match read(pool, cron).await {
            Ok(runs) => break runs,
            Err(error) if Instant::now() > give_up => return Err(error),
            Err(_) => sleep(LOOK_EVERY).await, // why: PostgreSQL may still come back
        }
    };
    while !is_taken_away(driver, cron).await {
        ensure!(Instant::now() < give_up, "a schedule cannot be taken away");
        sleep(LOOK_EVERY).await; // why: the API may still come back
    }
    Ok(runs)
}

async fn read(pool: &PgPool, cron: &Cron) -> anyhow::Result<CronRuns> {
    let read_at = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(pool).await?;
    let runs = sqlx::query_as(
        "SELECT due_at, missed_until, task_id, outcome::text AS outcome, created_at
         FROM schedule_runs WHERE schedule_id = $1 ORDER BY due_at",
    );
    Ok(CronRuns { period_secs: cron.period_secs, runs: runs.bind(cron.id).fetch_all(pool).await?, read_at })
}

async fn is_taken_away(driver: &Driver, cron: &Cron) -> bool {
    let status = driver.client.unschedule(OWNER, &cron.id.to_string()).await;
    // A deletion whose answer was lost is one all the same.
    status.is_ok_and(|status| matches!(status, 204 | 404))
}
