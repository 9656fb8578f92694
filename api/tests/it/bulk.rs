//! Many tasks in one request.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use makima_shared::domain::TaskId;
use makima_shared::queue::InboxMessage;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::sync::oneshot;

use crate::stage::{Answer, Stage, TASKS, submission};

const BULK: &str = "/api/v1/mesh/tasks/bulk";

fn tasks(changes: &[Value]) -> Value {
    let task = |changes: &Value| {
        let mut task = submission("a");
        for (key, value) in changes.as_object().unwrap() {
            task[key] = value.clone();
        }
        task
    };
    json!({ "tasks": changes.iter().map(task).collect::<Vec<_>>() })
}

fn ids(answer: &Answer) -> Vec<TaskId> {
    serde_json::from_value(answer.json()["ids"].clone()).unwrap_or_else(|_| panic!("{}", answer.text()))
}

async fn post_with_key(stage: &Stage, key: &str, body: &Value) -> Answer {
    let request = stage.request("POST", BULK).header("content-type", "application/json");
    stage.send(request.header("idempotency-key", key).body(Body::from(body.to_string())).unwrap()).await
}

#[sqlx::test(migrations = "../migrations")]
async fn tasks_are_accepted_in_their_order_and_may_name_each_other(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let worker = stage.worker("w").await;
    assert!(stage.queue.ready_claim(worker, &[], 1).await.unwrap().is_empty());
    let body = tasks(&[
        json!({"name": "last", "dependsOn": ["first"]}),
        json!({"name": "first", "ref": "first"}),
        json!({"name": "free", "priority": 90}),
    ]);
    let answer = stage.post(BULK, &body).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let ids = ids(&answer);
    let mut shown = Vec::new();
    for id in &ids {
        let task = stage.get(&format!("{TASKS}/{id}")).await.json();
        shown.push((task["name"].as_str().unwrap().to_owned(), task["status"].as_str().unwrap().to_owned()));
    }
    let expected = [("last", "pending"), ("first", "queued"), ("free", "queued")];
    assert_eq!(shown, expected.map(|(name, status)| (name.to_owned(), status.to_owned())));
    let rung = stage.queue.inbox(worker).next(Duration::from_secs(60)).await.unwrap();
    assert_eq!(rung, Some(InboxMessage::Claim), "one word for all of them");
    assert_eq!(stage.queue.ready_claim(worker, &[], 10).await.unwrap(), [ids[2], ids[1]]);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_repeated_key_answers_with_the_same_tasks(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let body = tasks(&[json!({"name": "one"}), json!({"name": "two"})]);
    let first = post_with_key(&stage, "k", &body).await;
    assert_eq!(first.status, StatusCode::CREATED);
    let again = post_with_key(&stage, "k", &body).await;
    assert_eq!((again.status, ids(&again)), (StatusCode::OK, ids(&first)));
    let other = post_with_key(&stage, "k", &tasks(&[json!({"name": "one"})])).await;
    assert_eq!(other.error(), (409, "IDEMPOTENCY_MISMATCH".to_owned()));
    assert_eq!(stage.get(TASKS).await.json()["tasks"].as_array().unwrap().len(), 2);
}

#[sqlx::test(migrations = "../migrations")]
async fn one_task_that_cannot_be_taken_keeps_all_out_and_is_named(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let cases = [
        (tasks(&[json!({}), json!({"name": ""})]), "VALIDATION_FAILED", "tasks[1].name"),
        (tasks(&[json!({}), json!({"wishes": 1})]), "VALIDATION_FAILED", "tasks[1].wishes"),
        (tasks(&[json!({}), json!({"dependsOn": ["x"]})]), "VALIDATION_FAILED", "tasks[1].dependsOn[0]"),
        (tasks(&[json!({"ref": "a", "dependsOn": ["a"]})]), "VALIDATION_FAILED", "tasks[0].dependsOn"),
        (
            tasks(&[json!({}), json!({"dependsOn": [TaskId::new()]})]),
            "DEPENDENCY_NOT_FOUND",
            "tasks[1].dependsOn",
        ),
        (
            tasks(&[json!({}), json!({"parentTaskId": TaskId::new()})]),
            "PARENT_NOT_FOUND",
            "tasks[1].parentTaskId",
        ),
        (tasks(&vec![json!({}); 1001]), "VALIDATION_FAILED", "tasks"),
        (tasks(&[]), "VALIDATION_FAILED", "tasks"),
    ];
    for (body, code, field) in cases {
        let answer = stage.post(BULK, &body).await;
        assert_eq!(answer.error(), (422, code.to_owned()), "{}", answer.text());
        assert_eq!(answer.fields(), [field]);
    }
    assert_eq!(stage.get(TASKS).await.json()["tasks"], json!([]));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_bulk_may_be_larger_than_other_bodies_up_to_16_mib(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let large = |count: usize, each: usize| tasks(&vec![json!({"plan": "x".repeat(each)}); count]);
    let answer = stage.post(BULK, &large(60, 250_000)).await;
    assert_eq!((answer.status, ids(&answer).len()), (StatusCode::CREATED, 60));
    let refused = stage.post(BULK, &large(70, 250_000)).await;
    assert_eq!(refused.error(), (413, "PAYLOAD_TOO_LARGE".to_owned()));
    assert!(refused.text().contains("16 MiB"));
    let elsewhere = stage.post(TASKS, &large(5, 250_000)).await;
    assert_eq!(elsewhere.error(), (413, "PAYLOAD_TOO_LARGE".to_owned()));
    let malformed = format!("{{\"tasks\": [{}", " ".repeat(2_000_000));
    assert_eq!(stage.post_raw(BULK, malformed).await.error(), (400, "MALFORMED_JSON".to_owned()));
}

/// Bodies under way count as held: one owner cannot have more of them than its share.
#[sqlx::test(migrations = "../migrations")]
async fn large_bodies_of_one_owner_are_counted(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        let (body, began) = unfinished();
        let request =
            stage.request("POST", BULK).header("content-type", "application/json").body(body).unwrap();
        let mut answer = Box::pin(stage.open(request));
        tokio::select! {
            _ = &mut answer => panic!("answered before the end of the body"),
            began = began => began.unwrap(),
        }
        open.push(answer);
    }
    let refused = stage.post(BULK, &tasks(&[json!({})])).await;
    assert_eq!(refused.error(), (503, "OVERLOADED".to_owned()));
    open.clear();
    assert_eq!(stage.post(BULK, &tasks(&[json!({})])).await.status, StatusCode::CREATED);
}

/// A body without an end, and word of the moment in which somebody begins to read it.
fn unfinished() -> (Body, oneshot::Receiver<()>) {
    let (sender, began) = oneshot::channel();
    let endless = async move {
        sender.send(()).unwrap();
        std::future::pending::<Result<&str, Infallible>>().await
    };
    (Body::from_stream(futures_util::stream::once(endless)), began)
}
