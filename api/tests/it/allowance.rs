//! How many tasks an owner may submit.

use axum::body::Body;
use makima_shared::domain::OwnerChanges;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::stage::{Answer, Stage, TASKS, submission};

async fn limit(stage: &Stage, per_minute: i32) {
    let changes = OwnerChanges { submissions_per_minute: Some(Some(per_minute)), ..OwnerChanges::default() };
    stage.store.owner_change("first", &changes).await.unwrap().unwrap();
}

async fn post_with_key(stage: &Stage, path: &str, key: &str, body: &Value) -> Answer {
    let request = stage.request("POST", path).header("content-type", "application/json");
    stage.send(request.header("idempotency-key", key).body(Body::from(body.to_string())).unwrap()).await
}

fn bulk(count: usize) -> Value {
    json!({ "tasks": vec![submission("a"); count] })
}

fn retry_after(answer: &Answer) -> u64 {
    assert_eq!(answer.error(), (429, "RATE_LIMITED".to_owned()));
    answer.headers["retry-after"].to_str().unwrap().parse().unwrap()
}

#[sqlx::test(migrations = "../migrations")]
async fn tasks_are_counted_one_by_one_and_many_alike(pool: PgPool) {
    let mut stage = Stage::new(pool).await;
    limit(&stage, 10).await;
    let bulk_path = format!("{TASKS}/bulk");
    assert_eq!(stage.post(&bulk_path, &bulk(9)).await.status.as_u16(), 201);
    assert_eq!(stage.post(TASKS, &submission("a")).await.status.as_u16(), 201);
    let one = retry_after(&stage.post(TASKS, &submission("a")).await);
    assert!((1..=6).contains(&one), "{one}");
    let many = retry_after(&stage.post(&bulk_path, &bulk(5)).await);
    assert!((25..=30).contains(&many), "{many}");
    let tasks = stage.get(TASKS).await.json();
    assert_eq!(tasks["tasks"].as_array().unwrap().len(), 10, "what was refused left nothing");
    stage.key = stage.strangers_key().await;
    assert_eq!(stage.post(&bulk_path, &bulk(50)).await.status.as_u16(), 201, "others are not concerned");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_repeated_request_and_a_refused_one_cost_nothing(pool: PgPool) {
    let stage = Stage::new(pool).await;
    limit(&stage, 2).await;
    let bulk_path = format!("{TASKS}/bulk");
    let mut missing = submission("a");
    missing["dependsOn"] = json!([stage.owner]);
    // What was taken is given back beside the answer.
    for _ in 0..5 {
        while stage.post(TASKS, &missing).await.error().1 != "DEPENDENCY_NOT_FOUND" {}
    }
    while stage.queue.allowance_take(stage.owner, 2, 2).await.unwrap().is_some() {}
    stage.queue.allowance_give_back(stage.owner, 2, 2).await.unwrap();
    assert_eq!(post_with_key(&stage, &bulk_path, "k", &bulk(2)).await.status.as_u16(), 201);
    for _ in 0..5 {
        assert_eq!(post_with_key(&stage, &bulk_path, "k", &bulk(2)).await.status.as_u16(), 200);
    }
    assert_eq!(post_with_key(&stage, &bulk_path, "k", &bulk(1)).await.error().1, "IDEMPOTENCY_MISMATCH");
    retry_after(&post_with_key(&stage, TASKS, "new", &submission("a")).await);
}

#[sqlx::test(migrations = "../migrations")]
async fn everything_is_let_in_while_redis_is_away(pool: PgPool) {
    let stage = Stage::without_redis(pool).await;
    limit(&stage, 1).await;
    for _ in 0..3 {
        assert_eq!(stage.post(TASKS, &submission("a")).await.status.as_u16(), 201);
    }
}
