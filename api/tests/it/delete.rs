//! DELETE of a task.

use std::time::Duration;

use axum::body::Body;
use makima_shared::domain::{EventKind, TaskId};
use makima_shared::queue::InboxMessage;
use makima_shared::store::{Fenced, OpenAttempt};
use serde_json::json;
use sqlx::PgPool;

use crate::stage::{Answer, Stage, TASKS, submission};

async fn delete(stage: &Stage, task: TaskId) -> Answer {
    stage.send(stage.request("DELETE", &format!("{TASKS}/{task}")).body(Body::empty()).unwrap()).await
}

#[sqlx::test(migrations = "../migrations")]
async fn a_running_task_is_gone_and_its_worker_is_told(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = stage.submit(&submission("a")).await;
    let worker = stage.worker("w").await;
    let epoch = stage.start(worker, task).await;
    let stream = stage.request("GET", &format!("{TASKS}/{task}/stream")).body(Body::empty()).unwrap();
    let following = stage.open(stream).await;
    let answer = delete(&stage, task).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    let told = stage.queue.inbox(worker).next(Duration::from_secs(60)).await.unwrap();
    assert_eq!(told, Some(InboxMessage::Stop(OpenAttempt { task_id: task, epoch })));
    let late = stage.store.events_append(task, epoch, EventKind::Output, &[json!({})]).await.unwrap();
    assert_eq!(late, Fenced::Stale);
    for path in ["", "/events", "/output", "/checkpoints", "/stream"] {
        assert_eq!(
            stage.get(&format!("{TASKS}/{task}{path}")).await.error(),
            (404, "TASK_NOT_FOUND".to_owned())
        );
    }
    // A follower is let go.
    axum::body::to_bytes(following.into_body(), usize::MAX).await.unwrap();
    assert_eq!(delete(&stage, task).await.error(), (404, "TASK_NOT_FOUND".to_owned()));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_queued_task_leaves_the_queue(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let worker = stage.worker("w").await;
    let (gone, kept) = (stage.submit(&submission("a")).await, stage.submit(&submission("b")).await);
    assert_eq!(delete(&stage, gone).await.status.as_u16(), 204);
    assert!(stage.store.tasks_claim(worker, &[gone]).await.unwrap().is_empty());
    assert_eq!(stage.store.tasks_claim(worker, &[kept]).await.unwrap().len(), 1);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_that_pending_ones_wait_for_stays_and_they_are_named(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let first = stage.submit(&submission("first")).await;
    let mut body = submission("the second one");
    body["dependsOn"] = json!([first]);
    let second = stage.submit(&body).await;
    let refused = delete(&stage, first).await;
    assert_eq!(refused.error(), (409, "HAS_DEPENDENTS".to_owned()));
    assert!(refused.text().contains(&second.to_string()) && refused.text().contains("the second one"));
    assert_eq!(delete(&stage, second).await.status.as_u16(), 204);
    assert_eq!(delete(&stage, first).await.status.as_u16(), 204);
}
