//! Workers that fail one task after the other.

use std::time::Duration;

use makima_shared::domain::{AttemptOutcome, Failure, WorkerId};
use makima_shared::store::Renewal;
use serde_json::json;
use sqlx::PgPool;

use crate::fixture::{Fixture, HOUR, agent_failure};

fn failure_of(worker: WorkerId) -> Failure {
    Failure::of_worker(worker, AttemptOutcome::PreparationFailed, "WORKSPACE_FAILED", "no space is left")
}

/// A worker fails a task of its own.
async fn fail_one(f: &Fixture, worker: WorkerId) {
    let attempt = f.claim(worker, f.submit(json!({})).await).await;
    f.fail(attempt, failure_of(worker)).await;
}

async fn quarantined(f: &Fixture) -> Vec<WorkerId> {
    f.store.workers_quarantine(HOUR).await.unwrap().into_iter().map(|worker| worker.id).collect()
}

/// Moves the end of every attempt, and of every quarantine, into the past.
async fn age(f: &Fixture, minutes: i32) {
    let shift = format!("interval '{minutes} minutes'");
    let aged = format!(
        "UPDATE attempts SET ended_at = ended_at - {shift};
         UPDATE workers SET quarantined_at = quarantined_at - {shift}, quarantined_until = quarantined_until - {shift}"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(aged)).execute(&f.pool).await.unwrap();
}

#[sqlx::test(migrations = "../migrations")]
async fn three_different_tasks_failed_within_ten_minutes_quarantine_their_worker_and_nobody_else(
    pool: PgPool,
) {
    let f = Fixture::new(pool).await;
    let (bad, good) = (f.worker().await, f.worker().await);
    for _ in 0..2 {
        fail_one(&f, bad).await;
        fail_one(&f, good).await;
    }
    assert_eq!(quarantined(&f).await, []);
    fail_one(&f, bad).await;
    assert_eq!(quarantined(&f).await, [bad]);
    assert_eq!(quarantined(&f).await, [], "once");

    let task = f.submit(json!({})).await;
    assert!(f.store.tasks_claim(bad, &[task]).await.unwrap().is_empty());
    let ready = f.store.tasks_ready(&[task]).await.unwrap();
    assert_eq!(ready.iter().map(|ready| ready.id).collect::<Vec<_>>(), [task]);
    f.claim(good, task).await;
    assert!(f.store.tasks_ready(&[task]).await.unwrap().is_empty());

    let shown = f.store.worker_get(bad).await.unwrap().unwrap();
    let reason = "3 tasks failed here within ten minutes, the last one with WORKSPACE_FAILED";
    assert_eq!(shown.quarantine_reason.as_deref(), Some(reason));
    let quarantine = f.store.worker_quarantine(bad).await.unwrap().unwrap();
    assert_eq!((Some(quarantine.until), quarantine.reason.as_str()), (shown.quarantined_until, reason));
    assert_eq!(f.store.worker_renew(bad, HOUR, HOUR).await.unwrap(), Renewal::Held(Some(quarantine)));
    assert_eq!(f.store.worker_quarantine(good).await.unwrap(), None);
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_not_the_workers_fault_does_not_count(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let worker = f.worker().await;
    // The agent failed.
    for _ in 0..5 {
        let attempt = f.claim(worker, f.submit(json!({})).await).await;
        f.fail(attempt, agent_failure()).await;
    }
    // One task, again and again.
    let task = f.submit(json!({"maxRetries": 9})).await;
    for _ in 0..5 {
        f.fail(f.claim(worker, task).await, failure_of(worker)).await;
        sqlx::query("UPDATE tasks SET excluded_worker_ids = '{}'").execute(&f.pool).await.unwrap();
        f.release().await;
    }
    // Tasks that others fail likewise.
    for _ in 0..3 {
        let (task, other) = (f.submit(json!({})).await, f.worker().await);
        f.fail(f.claim(worker, task).await, failure_of(worker)).await;
        f.release().await;
        f.fail(f.claim(other, task).await, failure_of(other)).await;
    }
    assert_eq!(quarantined(&f).await, []);
}

#[sqlx::test(migrations = "../migrations")]
async fn failures_are_forgotten_and_a_quarantine_ends_by_itself(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let worker = f.worker().await;
    fail_one(&f, worker).await;
    age(&f, 11).await;
    fail_one(&f, worker).await;
    fail_one(&f, worker).await;
    assert_eq!(quarantined(&f).await, [], "the first one is too long ago");
    fail_one(&f, worker).await;
    assert_eq!(f.store.workers_quarantine(Duration::from_secs(60)).await.unwrap().len(), 1);
    age(&f, 2).await;
    assert_eq!(f.store.worker_renew(worker, HOUR, HOUR).await.unwrap(), Renewal::Held(None));
    let shown = f.store.worker_get(worker).await.unwrap().unwrap();
    assert_eq!((shown.quarantined_until, shown.quarantine_reason), (None, None));
    // What led to the last quarantine leads to no other.
    assert_eq!(quarantined(&f).await, []);
    for _ in 0..3 {
        assert_eq!(quarantined(&f).await, []);
        fail_one(&f, worker).await;
    }
    assert_eq!(quarantined(&f).await, [worker]);
}

#[sqlx::test(migrations = "../migrations")]
async fn the_least_bad_worker_is_let_go_when_every_live_one_is_in_quarantine(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (first, second, free) = (f.worker().await, f.worker().await, f.worker().await);
    for (worker, minutes) in [(first, 10), (second, 20)] {
        for _ in 0..3 {
            fail_one(&f, worker).await;
        }
        f.store.workers_quarantine(Duration::from_secs(60 * minutes)).await.unwrap();
    }
    assert_eq!(f.store.workers_let_go(Duration::ZERO).await.unwrap(), None, "one is free");
    f.store.worker_drain(free).await.unwrap();
    assert_eq!(f.store.workers_let_go(HOUR).await.unwrap(), None, "the grace is not over");
    let let_go = f.store.workers_let_go(Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(let_go.id, first);
    assert_eq!(f.store.workers_let_go(Duration::ZERO).await.unwrap(), None, "one is enough");
    assert_eq!(quarantined(&f).await, []);
    f.claim(first, f.submit(json!({})).await).await;
    assert!(f.store.worker_quarantine(second).await.unwrap().is_some());
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_says_when_it_waits_for_the_end_of_a_quarantine(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let worker = f.worker().await;
    for _ in 0..3 {
        fail_one(&f, worker).await;
    }
    quarantined(&f).await;
    let task = f.task(f.submit(json!({})).await).await;
    let words = f.store.task_waiting_for(f.owner, &task).await.unwrap();
    assert_eq!(words.as_deref(), Some("a worker: every one that may take it is in quarantine"));
    f.worker().await;
    let words = f.store.task_waiting_for(f.owner, &task).await.unwrap();
    assert_eq!(words.as_deref(), Some("a worker to claim it"));
}
