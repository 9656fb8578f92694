//! Exclusions bend: hard for the next attempt, a preference after, and the least bad worker first.

use makima_shared::domain::{TaskId, WorkerId};
use serde_json::json;
use sqlx::PgPool;

use crate::fixture::{Fixture, agent_failure};

/// Fails a queued task on a worker that is to blame for it, and queues it again.
async fn fail_on(f: &Fixture, task: TaskId, worker: WorkerId) {
    let mut failure = agent_failure();
    failure.exclude = Some(worker);
    f.fail(f.claim(worker, task).await, failure).await;
    f.release().await;
}

/// Lets a worker take the task again that it failed before.
async fn forgive(f: &Fixture, task: TaskId, worker: WorkerId) {
    let forgiven =
        "UPDATE tasks SET excluded_worker_ids = array_remove(excluded_worker_ids, $2) WHERE id = $1";
    sqlx::query(forgiven).bind(task).bind(worker).execute(&f.pool).await.unwrap();
}

/// Fills both slots of a worker.
async fn fill(f: &Fixture, worker: WorkerId) {
    for _ in 0..2 {
        f.claim(worker, f.submit(json!({})).await).await;
    }
}

/// Who stays excluded after a look; `None` if nothing was lifted.
async fn relaxed(f: &Fixture) -> Option<Vec<WorkerId>> {
    let relaxed = f.store.tasks_relax_exclusions(0, 10).await.unwrap();
    assert!(relaxed.len() <= 1);
    relaxed.into_iter().next().map(|task| task.excluded_worker_ids)
}

#[sqlx::test(migrations = "../migrations")]
async fn of_several_the_worker_of_the_last_attempt_comes_last(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (early, late) = (f.worker().await, f.worker().await);
    let task = f.submit(json!({"maxRetries": 9})).await;
    // The early one failed it more often, and still it goes before the one that failed it just now.
    fail_on(&f, task, early).await;
    forgive(&f, task, early).await;
    fail_on(&f, task, early).await;
    fail_on(&f, task, late).await;
    assert_eq!(relaxed(&f).await, Some(vec![late]));
    assert_eq!(relaxed(&f).await, None, "somebody may take it now");
    assert!(f.store.tasks_claim(late, &[task]).await.unwrap().is_empty());
    f.claim(early, task).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn the_least_bad_worker_failed_it_least_often_and_then_longest_ago(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let [often, old, young, last] = [f.worker().await, f.worker().await, f.worker().await, f.worker().await];
    let task = f.submit(json!({"maxRetries": 9})).await;
    for worker in [often, old, young] {
        fail_on(&f, task, worker).await;
    }
    forgive(&f, task, often).await;
    fail_on(&f, task, often).await;
    fail_on(&f, task, last).await;
    let mut order: Vec<WorkerId> = Vec::new();
    for _ in 0..4 {
        let before = f.store.tasks_ready(&[task]).await.unwrap().remove(0).excluded_worker_ids;
        let after = relaxed(&f).await.unwrap();
        let lifted: Vec<_> = before.into_iter().filter(|worker| !after.contains(worker)).collect();
        order.extend(&lifted);
        // Whoever could take it is gone, so the next one is due.
        f.store.worker_end(lifted[0]).await.unwrap();
    }
    assert_eq!(order, [old, young, often, last]);
    f.assert_history_gives_status(task).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_preference_gives_way_to_busy_workers_and_the_last_attempts_exclusion_does_not(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (early, late, other) = (f.worker().await, f.worker().await, f.worker().await);
    let task = f.submit(json!({"maxRetries": 9})).await;
    fail_on(&f, task, early).await;
    fill(&f, other).await;
    assert_eq!(relaxed(&f).await, None, "hard: another worker is alive, however busy");
    fail_on(&f, task, late).await;
    assert_eq!(relaxed(&f).await, Some(vec![late]), "a preference: nobody better has a free slot");
    fill(&f, early).await;
    assert_eq!(relaxed(&f).await, None, "the last one stays out while others live");
}

#[sqlx::test(migrations = "../migrations")]
async fn an_exclusion_is_hard_for_one_attempt_only(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (culprit, other) = (f.worker().await, f.worker().await);
    let task = f.submit(json!({"maxRetries": 9})).await;
    fail_on(&f, task, culprit).await;
    // The next attempt fails for a reason of the agent's own.
    f.fail(f.claim(other, task).await, agent_failure()).await;
    f.release().await;
    assert_eq!(relaxed(&f).await, None, "the other one has a free slot");
    fill(&f, other).await;
    assert_eq!(relaxed(&f).await, Some(vec![]));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_worker_in_quarantine_is_nobody_to_wait_for(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (culprit, quarantined) = (f.worker().await, f.worker().await);
    let task = f.submit(json!({})).await;
    fail_on(&f, task, culprit).await;
    assert_eq!(relaxed(&f).await, None);
    let quarantine =
        "UPDATE workers SET quarantined_at = now(), quarantined_until = now() + interval '1 hour',
        quarantine_reason = 'x' WHERE id = $1";
    sqlx::query(quarantine).bind(quarantined).execute(&f.pool).await.unwrap();
    assert_eq!(relaxed(&f).await, Some(vec![]));
}
