//! Submission: what is accepted, what a repeat answers, and what Redis hears of it.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use makima_shared::queue::InboxMessage;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::stage::{Answer, Stage, TASKS, submission};

async fn post_with_key(stage: &Stage, key: &str, body: &Value) -> Answer {
    let request = stage.request("POST", TASKS).header("content-type", "application/json");
    stage.send(request.header("idempotency-key", key).body(Body::from(body.to_string())).unwrap()).await
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_is_accepted_with_its_place_and_its_whole_shape(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let answer = stage.post(TASKS, &submission("a task")).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let task = answer.json();
    let id = task["id"].as_str().unwrap();
    assert_eq!(answer.headers["location"], format!("{TASKS}/{id}"));
    assert_eq!(task["shortId"], id.replace('-', "")[24..]);
    assert_eq!(
        (task["status"].as_str(), task["epoch"].as_i64(), task["priority"].as_i64()),
        (Some("queued"), Some(0), Some(50))
    );
    assert_eq!(stage.get(&format!("{TASKS}/{id}")).await.json()["plan"], "do it");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_waiting_worker_is_rung_after_the_commit(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let worker = stage.worker("w").await;
    assert!(stage.queue.ready_claim(worker, &[], 1).await.unwrap().is_empty());
    let id = stage.submit(&submission("a")).await;
    let rung = stage.queue.inbox(worker).next(Duration::from_secs(60)).await.unwrap();
    assert_eq!(rung, Some(InboxMessage::Claim));
    assert_eq!(stage.queue.ready_claim(worker, &[], 1).await.unwrap(), [id]);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_with_an_open_dependency_is_pending(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let first = stage.submit(&submission("first")).await;
    let mut body = submission("second");
    body["dependsOn"] = json!([first]);
    assert_eq!(stage.post(TASKS, &body).await.json()["status"], "pending");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_repeated_key_answers_with_the_first_task_and_another_body_is_refused(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let first = post_with_key(&stage, "k-1", &submission("a")).await;
    assert_eq!(first.status, StatusCode::CREATED);
    let again = post_with_key(&stage, "k-1", &submission("a")).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.json()["id"], first.json()["id"]);
    assert_eq!(again.headers["location"], first.headers["location"]);
    let other = post_with_key(&stage, "k-1", &submission("b")).await;
    assert_eq!(other.error(), (409, "IDEMPOTENCY_MISMATCH".to_owned()));
}

#[sqlx::test(migrations = "../migrations")]
async fn one_key_sent_twice_at_once_makes_one_task(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let body = submission("a");
    let send = || post_with_key(&stage, "k", &body);
    let (a, b, c, d) = tokio::join!(send(), send(), send(), send());
    let mut statuses: Vec<_> = [&a, &b, &c, &d].iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 201]);
    for answer in [&b, &c, &d] {
        assert_eq!(answer.json()["id"], a.json()["id"]);
    }
    assert_eq!(stage.get(TASKS).await.json()["tasks"].as_array().unwrap().len(), 1);
}

#[sqlx::test(migrations = "../migrations")]
async fn two_owners_may_use_the_same_key(pool: PgPool) {
    let mut stage = Stage::new(pool).await;
    let first = post_with_key(&stage, "k", &submission("a")).await;
    stage.key = stage.strangers_key().await;
    let second = post_with_key(&stage, "k", &submission("b")).await;
    assert_eq!(second.status, StatusCode::CREATED);
    assert_ne!(first.json()["id"], second.json()["id"]);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_key_that_is_no_word_is_refused(pool: PgPool) {
    let stage = Stage::new(pool).await;
    for key in ["", "two words", "ümlaut", &"k".repeat(201)] {
        let answer = post_with_key(&stage, key, &submission("a")).await;
        assert_eq!(answer.error(), (422, "VALIDATION_FAILED".to_owned()), "{key:?}");
        assert_eq!(answer.fields(), ["Idempotency-Key"]);
    }
}
