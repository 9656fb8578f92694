//! Release of what may run, and the fall of what no longer can.

use makima_shared::domain::{AttemptOutcome, Failure, Reason, RetryPolicy, TaskId, TaskStatus, Transition};
use makima_shared::queue::WakeCall;
use serde_json::json;
use sqlx::PgPool;

use crate::crew::Worker;
use crate::fixture::{CALLED, EAGER, Fixture};

#[sqlx::test(migrations = "../migrations")]
async fn a_chain_is_released_link_by_link_on_call_alone(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let mut last = Vec::new();
    let mut names = Vec::new();
    for link in 0..6 {
        names.push(format!("link {link}"));
        last = vec![f.submit(&names[link], &last, json!({})).await];
    }
    let scheduler = f.schedule(&CALLED);
    let mut worker = Worker::join(&f).await;
    for name in &names {
        assert_eq!(&worker.work().await, name);
    }
    assert_eq!(f.story(last[0]).await, ["submitted", "released", "claimed", "started", "completed"]);
    scheduler.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_diamond_is_released_in_order_and_its_last_task_once(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let top = f.submit("top", &[], json!({})).await;
    let left = f.submit("left", &[top], json!({})).await;
    let right = f.submit("right", &[top], json!({"priority": 90})).await;
    let bottom = f.submit("bottom", &[left, right], json!({})).await;
    let scheduler = f.schedule(&CALLED);
    let (mut one, mut two) = (Worker::join(&f).await, Worker::join(&f).await);
    assert_eq!(one.work().await, "top");
    // Both sides are there at once, and the bottom waits for the second of them.
    let (first, second) = tokio::join!(one.start(), two.start());
    for task in [&first, &second] {
        assert_eq!(f.task(bottom).await.status, TaskStatus::Pending);
        f.complete(task).await;
    }
    let mut sides = [first.name.as_str(), &second.name];
    sides.sort_unstable();
    assert_eq!(sides, ["left", "right"]);
    f.until(bottom, TaskStatus::Queued).await;
    assert_eq!(one.work().await, "bottom");
    assert_eq!(f.story(bottom).await, ["submitted", "released", "claimed", "started", "completed"]);
    scheduler.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn the_sweep_releases_what_no_call_told_of(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let parent = f.submit("parent", &[], json!({})).await;
    f.submit("child", &[parent], json!({})).await;
    let scheduler = f.schedule(&EAGER);
    let mut worker = Worker::join(&f).await;
    assert_eq!(worker.work_quietly().await.name, "parent");
    assert_eq!(worker.work_quietly().await.name, "child");
    scheduler.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_with_a_time_is_claimed_after_it(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let soon = sqlx::query_scalar("SELECT to_json(now() + interval '300 milliseconds')");
    let soon: serde_json::Value = soon.fetch_one(&f.pool).await.unwrap();
    let task = f.submit("later", &[], json!({"runAt": soon})).await;
    assert_eq!(f.task(task).await.status, TaskStatus::Pending);
    let scheduler = f.schedule(&EAGER);
    let claimed = Worker::join(&f).await.claim().await;
    let attempts = f.store.attempts_list(f.owner, claimed.id).await.unwrap();
    assert!(attempts[0].claimed_at >= f.task(task).await.run_at.unwrap());
    scheduler.stop().await;
}

/// A task that fails for good, and a graph below it: two sides, a bottom, and a chain of ten.
async fn graph(f: &Fixture) -> (TaskId, Vec<TaskId>) {
    let root = f.submit("root", &[], json!({})).await;
    let left = f.submit("left", &[root], json!({})).await;
    let right = f.submit("right", &[root], json!({})).await;
    let mut below = vec![left, right, f.submit("bottom", &[left, right], json!({})).await];
    for _ in 0..10 {
        let last = below[below.len() - 1];
        below.push(f.submit("link", &[last], json!({})).await);
    }
    (root, below)
}

fn permanent_failure() -> Failure {
    Failure {
        outcome: AttemptOutcome::AgentFailed,
        reason: Reason::new("AGENT_FAILED", "exit code 1"),
        exit_code: Some(1),
        permanent: true,
        exclude: None,
    }
}

async fn assert_fallen(f: &Fixture, below: &[TaskId]) {
    for task in below {
        f.until(*task, TaskStatus::Failed).await;
        assert_eq!(f.task(*task).await.status_code.as_deref(), Some("DEPENDENCY_FAILED"));
        assert_eq!(f.story(*task).await, ["submitted", "dependency_failed"]);
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_failed_task_brings_down_the_whole_graph_below_it_and_nothing_else(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (_root, below) = graph(&f).await;
    let scheduler = f.schedule(&CALLED);
    let root = Worker::join(&f).await.start().await;
    let other = f.submit("other", &[], json!({})).await;
    let child_of_other = f.submit("child of other", &[other], json!({})).await;
    let failed = Transition::attempt_failed(root.epoch, permanent_failure(), 0, 3, &RetryPolicy::default());
    f.apply(root.id, &failed).await;
    f.queue.scheduler_wake(WakeCall::Settle).await.unwrap();
    assert_fallen(&f, &below).await;
    assert_eq!(f.task(other).await.status, TaskStatus::Queued);
    assert_eq!(f.task(child_of_other).await.status, TaskStatus::Pending);
    scheduler.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_graph_falls_in_one_sweep_while_redis_is_away(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (root, below) = graph(&f).await;
    f.apply(root, &Transition::cancelled()).await;
    let scheduler = f.schedule_over(&CALLED, f.queue_without_redis());
    assert_fallen(&f, &below).await;
    scheduler.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn tasks_are_released_while_redis_is_away_and_dispatched_when_it_is_back(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let parent = f.submit("parent", &[], json!({})).await;
    let child = f.submit("child", &[parent], json!({})).await;
    Worker::join(&f).await.work_quietly().await;
    let blind = f.schedule_over(&EAGER, f.queue_without_redis());
    f.until(child, TaskStatus::Queued).await;
    blind.stop().await;
    let scheduler = f.schedule(&EAGER);
    assert_eq!(Worker::join(&f).await.work().await, "child");
    scheduler.stop().await;
}
