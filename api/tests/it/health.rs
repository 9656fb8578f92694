//! How workers and attempts fare, as clients see it.

use makima_shared::domain::Transition;
use serde_json::json;
use sqlx::PgPool;

use crate::stage::{Stage, TASKS, submission};

const WORKERS: &str = "/api/v1/mesh/workers";

#[sqlx::test(migrations = "../migrations")]
async fn a_worker_in_quarantine_shows_until_when_and_why(pool: PgPool) {
    let stage = Stage::new(pool.clone()).await;
    let worker = stage.worker("bee").await;
    let shown = stage.get(&format!("{WORKERS}/{worker}")).await.json();
    assert_eq!((&shown["quarantinedUntil"], &shown["quarantineReason"]), (&json!(null), &json!(null)));
    let quarantine = "UPDATE workers SET quarantined_at = now(), quarantined_until = '2999-01-02T03:04:05Z',
        quarantine_reason = '3 tasks failed here'";
    sqlx::query(quarantine).execute(&pool).await.unwrap();
    let listed = stage.get(WORKERS).await.json()["workers"][0].clone();
    assert_eq!(listed["quarantinedUntil"], "2999-01-02T03:04:05Z");
    assert_eq!(listed["quarantineReason"], "3 tasks failed here");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_counts_how_its_attempts_ended(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let (worker, task) = (stage.worker("bee").await, stage.submit(&submission("counted")).await);
    let counts = async || stage.get(&format!("{TASKS}/{task}")).await.json()["attemptCounts"].clone();
    assert_eq!(counts().await, json!({}));
    for _ in 0..2 {
        let back = Transition::handed_back(stage.start(worker, task).await);
        drop(stage.store.task_transition(task, &back).await.unwrap());
    }
    let epoch = stage.start(worker, task).await;
    assert_eq!(counts().await, json!({"handed_back": 2}));
    stage.complete(task, epoch).await;
    assert_eq!(counts().await, json!({"handed_back": 2, "completed": 1}));
}
