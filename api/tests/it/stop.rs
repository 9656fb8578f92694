//! The word to stop a task.

use std::time::Duration;

use makima_shared::queue::{InboxMessage, WakeCall};
use makima_shared::store::OpenAttempt;
use serde_json::json;
use sqlx::PgPool;

use crate::stage::{Stage, TASKS, submission};

#[sqlx::test(migrations = "../migrations")]
async fn a_running_task_is_cancelled_at_once_and_its_worker_and_the_scheduler_are_told(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = stage.submit(&submission("a")).await;
    let mut child = submission("b");
    child["dependsOn"] = json!([task]);
    stage.submit(&child).await;
    let worker = stage.worker("w").await;
    let epoch = stage.start(worker, task).await;
    let answer = stage.post(&format!("{TASKS}/{task}/stop"), &json!({})).await;
    assert_eq!(answer.status.as_u16(), 202);
    let shown = answer.json();
    assert_eq!(
        (shown["status"].as_str(), shown["statusCode"].as_str()),
        (Some("cancelled"), Some("STOPPED"))
    );
    let told = stage.queue.inbox(worker).next(Duration::from_secs(60)).await.unwrap();
    assert_eq!(told, Some(InboxMessage::Stop(OpenAttempt { task_id: task, epoch })));
    assert_eq!(stage.queue.wake_calls().next(Duration::from_secs(60)).await.unwrap()[0], WakeCall::Settle);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_queued_task_that_is_stopped_cannot_be_claimed(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let worker = stage.worker("w").await;
    let task = stage.submit(&submission("a")).await;
    assert_eq!(stage.post(&format!("{TASKS}/{task}/stop"), &json!({})).await.status.as_u16(), 202);
    assert!(stage.store.tasks_claim(worker, &[task]).await.unwrap().is_empty());
    assert!(stage.queue.ready_claim(worker, &[], 1).await.unwrap().is_empty());
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_that_has_ended_cannot_be_stopped(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = stage.submit(&submission("a")).await;
    let path = format!("{TASKS}/{task}/stop");
    assert_eq!(stage.post(&path, &json!({})).await.status.as_u16(), 202);
    let again = stage.post(&path, &json!({})).await;
    assert_eq!(again.error(), (409, "INVALID_STATE".to_owned()));
    assert!(again.text().contains("cancelled"));
}
