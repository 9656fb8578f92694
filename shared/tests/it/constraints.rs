//! What the schema itself refuses, whoever writes.

use serde_json::json;
use sqlx::PgPool;

use crate::fixture::{Fixture, checkpoint};

/// Runs a statement over one running task that must break a constraint, and returns that constraint's name.
async fn broken(f: &Fixture, statement: &'static str) -> String {
    let attempt = f.run(f.submit(json!({"maxRetries": 1})).await).await;
    let error = sqlx::query(statement).bind(attempt.task_id).execute(&f.pool).await.unwrap_err();
    error.as_database_error().unwrap().constraint().unwrap_or_default().to_owned()
}

#[sqlx::test(migrations = "../migrations")]
async fn rows_that_no_transition_writes_are_refused(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let held = "held_by_a_worker_exactly_while_active";
    let cases = [
        ("UPDATE tasks SET worker_id = NULL WHERE id = $1", held),
        ("UPDATE tasks SET status = 'queued' WHERE id = $1", held),
        (
            "UPDATE tasks SET status = 'done', worker_id = NULL WHERE id = $1",
            "finished_exactly_while_terminal",
        ),
        ("UPDATE tasks SET finished_at = now() WHERE id = $1", "finished_exactly_while_terminal"),
        (
            "UPDATE tasks SET status = 'queued', worker_id = NULL, queued_at = NULL WHERE id = $1",
            "queued_has_a_time",
        ),
        (
            "UPDATE tasks SET status = 'failed', worker_id = NULL, finished_at = now() WHERE id = $1",
            "failed_has_a_reason",
        ),
        ("UPDATE tasks SET epoch = 0 WHERE id = $1", "active_has_an_epoch"),
        ("UPDATE tasks SET retry_count = 2 WHERE id = $1", "retries_are_bounded"),
        ("UPDATE tasks SET retry_count = -1 WHERE id = $1", "retries_are_bounded"),
        ("UPDATE tasks SET base_commit = 'main' WHERE id = $1", "tasks_base_commit_check"),
        ("UPDATE attempts SET ended_at = now() WHERE task_id = $1", "ended_exactly_with_an_outcome"),
        ("UPDATE attempts SET outcome = 'completed' WHERE task_id = $1", "ended_exactly_with_an_outcome"),
        (
            "INSERT INTO attempts (task_id, epoch, worker_id)
             SELECT task_id, epoch + 1, worker_id FROM attempts WHERE task_id = $1",
            "attempts_open",
        ),
        (
            "INSERT INTO task_events SELECT task_id, sequence, epoch, kind, data FROM task_events WHERE task_id = $1",
            "task_events_pkey",
        ),
        ("INSERT INTO task_dependencies VALUES ($1, $1)", "no_task_waits_for_itself"),
    ];
    for (statement, constraint) in cases {
        assert_eq!(broken(&f, statement).await, constraint, "{statement}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_patch_over_ten_mebibytes_is_refused_with_its_checkpoint_and_event(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let attempt = f.run(f.submit(json!({})).await).await;
    let before = f.rows(attempt.task_id).await;
    let huge = checkpoint(&vec![1; (10 << 20) + 1]);
    let stored = f.store.checkpoint_create(attempt.task_id, attempt.epoch, &huge, crate::fixture::HOUR).await;
    assert!(stored.is_err());
    assert_eq!(f.rows(attempt.task_id).await, before);
}
