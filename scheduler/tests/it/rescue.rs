//! What becomes of the tasks of workers that are gone.

use makima_shared::domain::{AttemptOutcome, TaskStatus};
use serde_json::json;
use sqlx::PgPool;

use crate::crew::Worker;
use crate::fixture::{EAGER, Fixture};

#[sqlx::test(migrations = "../migrations")]
async fn the_task_of_an_expired_worker_goes_to_another_one(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit("task", &[], json!({})).await;
    let scheduler = f.schedule(&EAGER);
    let mut lost = Worker::join(&f).await;
    // Another worker is alive from the start, so the exclusion holds.
    let mut heir = Worker::join(&f).await;
    lost.start().await;
    lost.expire().await;
    let claimed = heir.claim().await;
    assert_eq!((claimed.id, claimed.epoch.number(), claimed.retry_count), (task, 2, 1));
    let attempts = f.store.attempts_list(f.owner, task).await.unwrap();
    assert_eq!((attempts[0].worker_id, attempts[0].outcome), (lost.id, Some(AttemptOutcome::WorkerLost)));
    assert_eq!(attempts[0].error_code.as_deref(), Some("WORKER_LOST"));
    assert_eq!((attempts[1].worker_id, attempts[1].outcome), (heir.id, None));
    assert!(!f.store.worker_get(lost.id).await.unwrap().unwrap().alive);
    let excluded: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT excluded_worker_ids FROM tasks").fetch_one(&f.pool).await.unwrap();
    assert_eq!(excluded, [lost.id.uuid()]);
    let story = ["submitted", "claimed", "started", "retried", "released", "claimed"];
    assert_eq!(f.story(task).await, story);
    scheduler.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_that_loses_every_worker_fails_when_its_retries_are_spent_and_its_child_with_it(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let poison = f.submit("poison", &[], json!({"maxRetries": 2})).await;
    let child = f.submit("child", &[poison], json!({})).await;
    let scheduler = f.schedule(&EAGER);
    for _ in 0..3 {
        let mut worker = Worker::join(&f).await;
        worker.start().await;
        worker.expire().await;
    }
    f.until(poison, TaskStatus::Failed).await;
    let row = f.task(poison).await;
    assert_eq!((row.retry_count, row.epoch.number()), (2, 3));
    assert_eq!(row.status_code.as_deref(), Some("WORKER_LOST"));
    let attempts = f.store.attempts_list(f.owner, poison).await.unwrap();
    assert!(attempts.iter().all(|attempt| attempt.outcome == Some(AttemptOutcome::WorkerLost)));
    f.until(child, TaskStatus::Failed).await;
    assert_eq!(f.task(child).await.status_code.as_deref(), Some("DEPENDENCY_FAILED"));
    scheduler.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn an_exclusion_gives_way_when_nobody_else_is_alive(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit("task", &[], json!({})).await;
    let mut only = Worker::join(&f).await;
    let attempt = only.start().await;
    // The only worker gives the task up, and says that it is to blame.
    let failure = makima_shared::domain::Failure {
        outcome: AttemptOutcome::PreparationFailed,
        reason: makima_shared::domain::Reason::new("DISK_FULL", "no space is left"),
        exit_code: None,
        permanent: false,
        exclude: Some(only.id),
    };
    let failed =
        makima_shared::domain::Transition::attempt_failed(attempt.epoch, failure, 0, 3, &EAGER.retry);
    f.apply(task, &failed).await;
    let scheduler = f.schedule(&EAGER);
    assert_eq!(only.claim().await.epoch.number(), 2);
    let story = ["submitted", "claimed", "started", "retried", "released", "EXCLUSION_LIFTED", "claimed"];
    assert_eq!(f.story(task).await, story);
    scheduler.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn tasks_are_rescued_while_redis_is_away(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let mut worker = Worker::join(&f).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(f.submit("task", &[], json!({"maxRetries": 0})).await);
        worker.start().await;
    }
    worker.expire().await;
    let scheduler = f.schedule_over(&EAGER, f.queue_without_redis());
    for task in held {
        f.until(task, TaskStatus::Failed).await;
        assert_eq!(f.task(task).await.status_code.as_deref(), Some("WORKER_LOST"));
    }
    scheduler.stop().await;
}
