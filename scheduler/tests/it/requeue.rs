//! Redis is a hint: what it loses comes back.

use std::collections::BTreeSet;

use makima_shared::domain::TaskStatus;
use serde_json::json;
use sqlx::PgPool;

use crate::crew::Worker;
use crate::fixture::{EAGER, Fixture};

#[sqlx::test(migrations = "../migrations")]
async fn queued_tasks_come_back_after_redis_lost_everything(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let scheduler = f.schedule(&EAGER);
    let mut names = BTreeSet::new();
    for place in 0..20 {
        let name = format!("task {place}");
        f.submit(&name, &[], json!({})).await;
        names.insert(name);
    }
    assert!(f.lose_redis().await > 0);
    let mut worker = Worker::join(&f).await;
    let mut done = BTreeSet::new();
    for _ in 0..names.len() {
        done.insert(worker.work().await);
    }
    assert_eq!(done, names);
    scheduler.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn losing_redis_disturbs_no_running_attempt(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let scheduler = f.schedule(&EAGER);
    let running = f.submit("running", &[], json!({})).await;
    let child = f.submit("child", &[running], json!({})).await;
    let mut worker = Worker::join(&f).await;
    let attempt = worker.start().await;
    f.lose_redis().await;
    assert_eq!(f.task(running).await.status, TaskStatus::Running);
    f.complete(&attempt).await;
    assert_eq!(worker.work().await, "child");
    assert_eq!(f.story(child).await, ["submitted", "released", "claimed", "started", "completed"]);
    scheduler.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_that_was_queued_without_a_hint_is_found(pool: PgPool) {
    let f = Fixture::new(pool).await;
    f.submit("task", &[], json!({})).await;
    // The hint goes to a worker that dies before it claims.
    assert_eq!(f.queue.ready_claim(makima_shared::domain::WorkerId::new(), &[], 1).await.unwrap().len(), 1);
    let scheduler = f.schedule(&EAGER);
    assert_eq!(Worker::join(&f).await.work().await, "task");
    scheduler.stop().await;
}
