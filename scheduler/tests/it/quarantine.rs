//! Workers that fail one task after the other.

use makima_shared::config::SchedulerConfig;
use makima_shared::domain::{AttemptOutcome, Failure, Transition};
use serde_json::json;
use sqlx::PgPool;
use tokio::task::yield_now;

use crate::crew::Worker;
use crate::fixture::{EAGER, Fixture, HOUR};

async fn fail_three_tasks(f: &Fixture, worker: &mut Worker<'_>) {
    for _ in 0..3 {
        f.submit("task", &[], json!({"maxRetries": 0})).await;
        let task = worker.start().await;
        let failure = Failure::of_worker(worker.id, AttemptOutcome::WorkspaceLost, "WORKSPACE_LOST", "gone");
        f.apply(task.id, &Transition::attempt_failed(task.epoch, failure, 0, 0, &EAGER.retry)).await;
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_worker_that_failed_three_tasks_gets_no_fourth(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (mut bad, mut good) = (Worker::join(&f).await, Worker::join(&f).await);
    let scheduler = f.schedule(&EAGER);
    fail_three_tasks(&f, &mut bad).await;
    while f.store.worker_quarantine(bad.id).await.unwrap().is_none() {
        yield_now().await;
    }
    let task = f.submit("task", &[], json!({})).await;
    assert!(f.store.tasks_claim(bad.id, &[task]).await.unwrap().is_empty());
    assert_eq!(good.claim().await.id, task);
    scheduler.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn the_queue_does_not_stand_still_for_a_quarantine_of_everybody(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let mut only = Worker::join(&f).await;
    fail_three_tasks(&f, &mut only).await;
    let strict = f.schedule(&SchedulerConfig { exclusion_grace: HOUR, ..EAGER });
    while f.store.worker_quarantine(only.id).await.unwrap().is_none() {
        yield_now().await;
    }
    strict.stop().await;
    let scheduler = f.schedule(&EAGER);
    f.submit("task", &[], json!({})).await;
    assert_eq!(only.work().await, "task");
    scheduler.stop().await;
}
