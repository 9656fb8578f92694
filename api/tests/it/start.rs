//! The word to start a task, at once or again.

use std::time::Duration;

use makima_shared::domain::{TaskId, Transition};
use makima_shared::queue::{InboxMessage, WakeCall};
use serde_json::json;
use sqlx::PgPool;

use crate::stage::{Answer, Stage, TASKS, submission};

async fn start(stage: &Stage, task: TaskId) -> Answer {
    stage.post(&format!("{TASKS}/{task}/start"), &json!({})).await
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_is_started_before_its_time_and_a_worker_is_rung(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let mut body = submission("later");
    body["runAt"] = json!("2999-01-01T00:00:00Z");
    let task = stage.submit(&body).await;
    let worker = stage.worker("w").await;
    assert!(stage.queue.ready_claim(worker, &[], 1).await.unwrap().is_empty());
    let answer = start(&stage, task).await;
    assert_eq!((answer.status.as_u16(), answer.json()["status"].as_str()), (202, Some("queued")));
    assert_eq!(answer.json()["runAt"], json!(null));
    let rung = stage.queue.inbox(worker).next(Duration::from_secs(60)).await.unwrap();
    assert_eq!(rung, Some(InboxMessage::Claim));
    assert_eq!(stage.queue.ready_claim(worker, &[], 1).await.unwrap(), [task]);
    let again = start(&stage, task).await;
    assert_eq!(
        (again.status.as_u16(), again.json()["version"].as_i64()),
        (202, answer.json()["version"].as_i64())
    );
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_that_has_ended_runs_again_under_the_next_epoch(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = stage.submit(&submission("a")).await;
    let worker = stage.worker("w").await;
    for epoch in 1..4 {
        let opened = stage.start(worker, task).await;
        assert_eq!(opened.number(), epoch);
        stage.complete(task, opened).await;
        let answer = start(&stage, task).await;
        assert_eq!((answer.status.as_u16(), answer.json()["status"].as_str()), (202, Some("queued")));
        assert_eq!(answer.json()["finishedAt"], json!(null));
    }
    let shown = stage.get(&format!("{TASKS}/{task}")).await.json();
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 3);
    stage.post(&format!("{TASKS}/{task}/stop"), &json!({})).await;
    assert_eq!(start(&stage, task).await.status.as_u16(), 202, "a stopped one too");
}

#[sqlx::test(migrations = "../migrations")]
async fn what_a_task_still_depends_on_is_named(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let first = stage.submit(&submission("the first one")).await;
    let mut body = submission("second");
    body["dependsOn"] = json!([first]);
    let second = stage.submit(&body).await;
    let refused = start(&stage, second).await;
    assert_eq!(refused.error(), (409, "INVALID_STATE".to_owned()));
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains(&first.to_string()) && message.contains("the first one, queued"), "{message}");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_restart_below_a_failed_task_is_for_the_scheduler(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let first = stage.submit(&submission("first")).await;
    let mut body = submission("second");
    body["dependsOn"] = json!([first]);
    let second = stage.submit(&body).await;
    for task in [first, second] {
        let _ = stage.store.task_transition(task, &Transition::cancelled()).await.unwrap();
    }
    let answer = start(&stage, second).await;
    assert_eq!((answer.status.as_u16(), answer.json()["status"].as_str()), (202, Some("pending")));
    assert_eq!(stage.queue.wake_calls().next(Duration::from_secs(60)).await.unwrap()[0], WakeCall::Settle);
}
