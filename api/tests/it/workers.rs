//! The fleet.

use makima_shared::domain::WorkerId;
use serde_json::json;
use sqlx::PgPool;

use crate::stage::{Stage, TASKS, submission};

const WORKERS: &str = "/api/v1/mesh/workers";

#[sqlx::test(migrations = "../migrations")]
async fn workers_are_listed_with_what_they_offer(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let worker = stage.worker("bee").await;
    let list = stage.get(WORKERS).await.json();
    let entry = &list["workers"][0];
    assert_eq!(
        (entry["id"].as_str(), entry["name"].as_str()),
        (Some(worker.to_string().as_str()), Some("bee"))
    );
    assert_eq!((entry["slots"].as_i64(), entry["busySlots"].as_i64()), (Some(4), Some(0)));
    assert_eq!((entry["alive"].as_bool(), &entry["labels"]), (Some(true), &json!([])));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_worker_shows_the_callers_tasks_alone(pool: PgPool) {
    let mut stage = Stage::new(pool).await;
    let worker = stage.worker("bee").await;
    let mine = stage.submit(&submission("mine")).await;
    stage.start(worker, mine).await;
    let path = format!("{WORKERS}/{worker}");
    let shown = stage.get(&path).await.json();
    assert_eq!((&shown["taskIds"], shown["busySlots"].as_i64()), (&json!([mine]), Some(1)));
    stage.key = stage.strangers_key().await;
    let shown = stage.get(&path).await.json();
    assert_eq!((&shown["taskIds"], shown["busySlots"].as_i64()), (&json!([]), Some(1)));
    assert_eq!(stage.get(TASKS).await.json()["tasks"], json!([]));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_worker_that_never_was_is_not_found(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let answer = stage.get(&format!("{WORKERS}/{}", WorkerId::new())).await;
    assert_eq!(answer.error(), (404, "WORKER_NOT_FOUND".to_owned()));
}
