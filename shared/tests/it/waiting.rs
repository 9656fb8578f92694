//! The words for why a task does not run now.

use makima_shared::domain::{TaskId, Transition};
use serde_json::json;
use sqlx::PgPool;

use crate::fixture::{Fixture, agent_failure};

async fn words(f: &Fixture, task: TaskId) -> String {
    let row = f.task(task).await;
    f.store.task_waiting_for(f.owner, &row).await.unwrap().unwrap_or_default()
}

#[sqlx::test(migrations = "../migrations")]
async fn a_pending_task_names_what_it_waits_for(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (build, lint) = (f.submit(json!({"name": "build"})).await, f.submit(json!({"name": "lint"})).await);
    let both = f.submit(json!({"dependsOn": [build, lint]})).await;
    let later = f.submit(json!({"runAt": "2999-01-02T03:04:05Z"})).await;
    assert_eq!(words(&f, both).await, "2 tasks to be done, \"build\" among them");
    f.complete(f.run(build).await).await;
    assert_eq!(words(&f, both).await, "the task \"lint\" to be done");
    f.complete(f.run(lint).await).await;
    assert_eq!(words(&f, both).await, "a worker to claim it");
    assert_eq!(words(&f, later).await, "its time: 2999-01-02 03:04:05 UTC");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_queued_task_names_what_keeps_workers_from_it(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({})).await;
    assert_eq!(words(&f, task).await, "a worker: none is alive");
    let worker = f.worker().await;
    assert_eq!(words(&f, task).await, "a worker to claim it");
    for _ in 0..2 {
        f.claim(worker, f.submit(json!({})).await).await;
    }
    let urgent = f.submit(json!({"priority": 90})).await;
    f.submit(json!({"priority": 10})).await;
    let younger = f.submit(json!({})).await;
    assert_eq!(words(&f, urgent).await, "a free slot, as the next in line");
    assert_eq!(words(&f, task).await, "a free slot, behind 1 other task");
    assert_eq!(words(&f, younger).await, "a free slot, behind 2 other tasks");
    f.store.worker_drain(worker).await.unwrap();
    assert_eq!(words(&f, task).await, "a worker: none is alive");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_that_excludes_every_live_worker_says_so(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (task, culprit) = (f.submit(json!({})).await, f.worker().await);
    let mut failure = agent_failure();
    failure.exclude = Some(culprit);
    f.fail(f.claim(culprit, task).await, failure).await;
    f.release().await;
    let expected = "a worker other than those that failed it; the least bad of them takes it if none comes";
    assert_eq!(words(&f, task).await, expected);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_that_runs_or_has_ended_waits_for_nothing(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({})).await;
    let attempt = f.claim(f.worker().await, task).await;
    assert_eq!(words(&f, task).await, "its workspace, which is being prepared");
    f.apply(task, &Transition::started(attempt.epoch)).await;
    assert_eq!(words(&f, task).await, "");
    f.apply(task, &Transition::cancelled()).await;
    assert_eq!(words(&f, task).await, "");
}
