//! What is deleted after a while, and what stays.

use std::time::Duration;

use makima_shared::domain::{EventKind, TaskId, TaskStatus};
use makima_shared::store::{PrunedOutput, Submitted};
use serde_json::json;
use sqlx::PgPool;

use crate::fixture::{Fixture, HOUR, accepted, created, new_task};

/// A task that ended `hours` ago, with that many lines of output.
async fn ended(f: &Fixture, hours: i32, lines: usize) -> TaskId {
    let attempt = f.run(f.submit(json!({})).await).await;
    let output = vec![json!({"stream": "stdout", "text": "x"}); lines];
    if lines > 0 {
        let written = f.store.output_append(attempt.task_id, attempt.epoch, 0, &output).await.unwrap();
        accepted(written);
    }
    f.complete(attempt).await;
    let age = sqlx::query("UPDATE tasks SET finished_at = now() - make_interval(hours => $2) WHERE id = $1");
    age.bind(attempt.task_id).bind(hours).execute(&f.pool).await.unwrap();
    attempt.task_id
}

async fn prune(f: &Fixture, tasks: i64, lines: i64) -> (i64, i64) {
    let PrunedOutput { lines, tasks } = f.store.output_prune(HOUR, tasks, lines).await.unwrap();
    (lines, tasks)
}

async fn output_of(f: &Fixture, task: TaskId) -> usize {
    f.store.events_list(f.owner, task, 0, 10_000, Some(EventKind::Output)).await.unwrap().unwrap().len()
}

#[sqlx::test(migrations = "../migrations")]
async fn old_output_goes_and_the_history_says_so(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (old, silent, young) = (ended(&f, 2, 3).await, ended(&f, 2, 0).await, ended(&f, 0, 3).await);
    let running = f.run(f.submit(json!({})).await).await;
    f.output(running).await;
    assert_eq!(prune(&f, 10, 100).await, (3, 1));
    assert_eq!(prune(&f, 10, 100).await, (0, 0));
    assert_eq!((output_of(&f, old).await, output_of(&f, young).await), (0, 3));
    assert_eq!(output_of(&f, running.task_id).await, 1);
    let events = f.history(old).await;
    let numbers: Vec<_> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(numbers, [1, 2, 3, 7, 8], "the others keep their numbers");
    assert_eq!(events[4].data["code"], "OUTPUT_PRUNED");
    assert_eq!(f.task(old).await.last_sequence, 8);
    assert_eq!(f.history(silent).await.len(), 4, "where nothing is missing nothing is said");
}

#[sqlx::test(migrations = "../migrations")]
async fn output_goes_bit_by_bit_and_is_told_of_once(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let tasks = [ended(&f, 5, 10).await, ended(&f, 4, 5).await, ended(&f, 3, 7).await];
    assert_eq!(prune(&f, 10, 10).await, (10, 0), "whether the first one has more is not known yet");
    assert_eq!(prune(&f, 10, 6).await, (6, 2));
    assert_eq!(prune(&f, 10, 6).await, (6, 0));
    assert_eq!(prune(&f, 10, 6).await, (0, 1));
    for task in tasks {
        assert_eq!(output_of(&f, task).await, 0);
        let told = f.story(task).await.into_iter().filter(|word| word == "OUTPUT_PRUNED").count();
        assert_eq!(told, 1);
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn what_the_version_before_wrote_is_looked_at_too(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (old, silent) = (ended(&f, 2, 3).await, ended(&f, 2, 0).await);
    sqlx::query("UPDATE tasks SET has_output = true").execute(&f.pool).await.unwrap();
    assert_eq!(prune(&f, 10, 100).await, (3, 2));
    assert_eq!(f.story(old).await.last().map(String::as_str), Some("OUTPUT_PRUNED"));
    assert_eq!(f.story(silent).await.last().map(String::as_str), Some("completed"));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_that_was_started_again_keeps_its_output(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = ended(&f, 2, 3).await;
    f.start(task).await;
    assert_eq!(prune(&f, 10, 100).await, (0, 0));
    f.complete(f.run(task).await).await;
    sqlx::query("UPDATE tasks SET finished_at = now() - interval '2 hours'").execute(&f.pool).await.unwrap();
    assert_eq!(prune(&f, 10, 100).await, (3, 1), "its last run wrote nothing, but the one before did");
    assert_eq!(f.status(task).await, TaskStatus::Done);
}

#[sqlx::test(migrations = "../migrations")]
async fn old_keys_are_forgotten(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let body = new_task(&json!({}));
    let submit = |key: &'static str| f.store.task_submit(f.owner, &body, Some(key));
    let (old, young) = (created(submit("old").await.unwrap()), created(submit("young").await.unwrap()));
    let age = "UPDATE idempotency_keys SET created_at = now() - interval '2 hours' WHERE key = 'old'";
    sqlx::query(age).execute(&f.pool).await.unwrap();
    assert_eq!(f.store.idempotency_keys_prune(HOUR, 10).await.unwrap(), 1);
    assert_ne!(created(submit("old").await.unwrap()).id, old.id);
    assert!(matches!(submit("young").await.unwrap(), Submitted::Repeated(ids) if ids == [young.id]));
    for key in ["a", "b", "c"] {
        created(submit(key).await.unwrap());
    }
    assert_eq!(f.store.idempotency_keys_prune(Duration::ZERO, 2).await.unwrap(), 2);
}

#[sqlx::test(migrations = "../migrations")]
async fn dead_workers_that_never_had_a_task_are_forgotten(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (idle, busy, alive) = (f.worker().await, f.worker().await, f.worker().await);
    let task = f.submit(json!({})).await;
    let attempt = f.claim(busy, task).await;
    for worker in [idle, busy] {
        f.store.worker_end(worker).await.unwrap();
    }
    assert_eq!(f.store.workers_prune(HOUR, 10).await.unwrap(), 0, "they ended a moment ago");
    let old = "UPDATE workers SET ended_at = now() - interval '2 hours' WHERE ended_at IS NOT NULL";
    sqlx::query(old).execute(&f.pool).await.unwrap();
    assert_eq!(f.store.workers_prune(HOUR, 10).await.unwrap(), 1, "the other one still holds a task");
    f.complete(attempt).await;
    assert_eq!(f.store.workers_prune(HOUR, 10).await.unwrap(), 1, "it is looked at once,");
    assert_eq!(f.store.workers_prune(HOUR, 10).await.unwrap(), 0, "and known from then on");
    let mut left = Vec::new();
    for worker in [idle, busy, alive] {
        left.push(f.store.worker_get(worker).await.unwrap().is_some());
    }
    assert_eq!(left, [false, true, true]);
    assert_eq!(f.store.attempts_list(f.owner, task).await.unwrap().len(), 1);
}
