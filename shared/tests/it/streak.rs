//! Ends of attempts that spend no retry, until they come too often.

use makima_shared::domain::{AttemptOutcome, TaskId, TaskStatus, Transition};
use makima_shared::store::OpenAttempt;
use serde_json::json;
use sqlx::PgPool;

use crate::fixture::{AT_ONCE, Fixture, agent_failure};

async fn streak(f: &Fixture, task: TaskId, outcome: AttemptOutcome) -> u32 {
    f.store.attempts_streak(task, outcome).await.unwrap()
}

/// Ends an attempt as a draining worker does.
async fn hand_back(f: &Fixture, attempt: OpenAttempt) -> TaskStatus {
    let task = f.task(attempt.task_id).await;
    let streak = streak(f, task.id, AttemptOutcome::HandedBack).await;
    let (retries, max) = (task.retry_count, task.max_retries);
    f.apply(task.id, &Transition::handed_back_again(attempt.epoch, streak, retries, max, &AT_ONCE)).await;
    f.status(task.id).await
}

/// Ends an attempt as a worker does that reaches no remote, and lets the rest pass.
async fn reach_nothing(f: &Fixture, attempt: OpenAttempt) -> TaskStatus {
    let task = f.task(attempt.task_id).await;
    let streak = streak(f, task.id, AttemptOutcome::RepositoryUnreachable).await;
    let (retries, max) = (task.retry_count, task.max_retries);
    f.apply(task.id, &Transition::repository_unreachable(attempt.epoch, "no route", streak, retries, max))
        .await;
    sqlx::query("UPDATE tasks SET not_before = now() WHERE status = 'pending'")
        .execute(&f.pool)
        .await
        .unwrap();
    f.release().await;
    f.status(task.id).await
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_that_is_only_ever_handed_back_comes_to_its_end(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (task, worker) = (f.submit(json!({"maxRetries": 1})).await, f.worker().await);
    for round in 0..2 {
        for _ in 0..20 {
            assert_eq!(hand_back(&f, f.claim(worker, task).await).await, TaskStatus::Queued);
        }
        assert_eq!(f.task(task).await.retry_count, round);
        let wanted = if round == 0 { TaskStatus::Pending } else { TaskStatus::Failed };
        assert_eq!(hand_back(&f, f.claim(worker, task).await).await, wanted);
        f.release().await;
    }
    let row = f.task(task).await;
    assert_eq!((row.status_code.as_deref(), row.epoch.number()), (Some("HANDED_BACK_TOO_OFTEN"), 42));
    f.assert_history_gives_status(task).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_remote_that_is_away_costs_no_retry_at_first_and_all_of_them_in_the_end(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (task, worker) = (f.submit(json!({"maxRetries": 2})).await, f.worker().await);
    for _ in 0..8 {
        assert_eq!(reach_nothing(&f, f.claim(worker, task).await).await, TaskStatus::Queued);
    }
    assert_eq!(f.task(task).await.retry_count, 0);
    for retries in 1..=2 {
        assert_eq!(reach_nothing(&f, f.claim(worker, task).await).await, TaskStatus::Queued);
        assert_eq!(f.task(task).await.retry_count, retries);
    }
    assert_eq!(reach_nothing(&f, f.claim(worker, task).await).await, TaskStatus::Failed);
    let attempts = f.store.attempts_list(f.owner, task).await.unwrap();
    assert!(attempts.iter().all(|attempt| attempt.outcome == Some(AttemptOutcome::RepositoryUnreachable)));
    assert_eq!(attempts.len(), 11);
    f.assert_history_gives_status(task).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_streak_ends_with_an_attempt_that_counts_and_with_no_other(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (task, worker) = (f.submit(json!({"maxRetries": 9})).await, f.worker().await);
    let unreachable = AttemptOutcome::RepositoryUnreachable;
    assert_eq!(streak(&f, task, unreachable).await, 0);
    reach_nothing(&f, f.claim(worker, task).await).await;
    reach_nothing(&f, f.claim(worker, task).await).await;
    hand_back(&f, f.claim(worker, task).await).await;
    let open = f.claim(worker, task).await;
    assert_eq!(streak(&f, task, unreachable).await, 2);
    assert_eq!(streak(&f, task, AttemptOutcome::HandedBack).await, 1);
    f.fail(open, agent_failure()).await;
    assert_eq!(streak(&f, task, unreachable).await, 0);
}
