//! A completion that went wrong is repeated, and the task stays what it was: done.

use makima_shared::domain::{
    Completion, CompletionError, CompletionStatus, Failure, TaskId, TaskResult, TaskStatus, Transition,
};
use makima_shared::store::{Fenced, OpenAttempt, RetryCompletionOutcome};
use serde_json::json;
use sqlx::PgPool;

use crate::fixture::{Fixture, HOUR, accepted, agent_failure, checkpoint};

/// A merge that met a conflict.
fn conflict(can_retry: bool) -> TaskResult {
    let error = CompletionError { code: "MERGE_CONFLICT".to_owned(), message: "other changes".to_owned() };
    TaskResult {
        commit: Some("d".repeat(40)),
        branch: Some("makima/x".to_owned()),
        completion_error: Some("MERGE_CONFLICT: other changes".to_owned()),
        completion: Completion {
            status: CompletionStatus::Conflict,
            branch: Some("makima/x".to_owned()),
            commit: Some("d".repeat(40)),
            conflicts: vec!["src/lib.rs".to_owned()],
            error: Some(error),
            can_retry,
            ..Completion::default()
        }
        .into(),
    }
}

/// Runs a task to such an end, with its work in a checkpoint.
async fn ended(f: &Fixture, task: TaskId, result: TaskResult) -> OpenAttempt {
    let attempt = f.run(task).await;
    accepted(f.store.attempt_prepared(attempt, &"e".repeat(40), None).await.unwrap());
    accepted(f.store.checkpoint_create(task, attempt.epoch, &checkpoint(b"work"), HOUR).await.unwrap());
    f.apply(task, &Transition::completed(attempt.epoch, result)).await;
    attempt
}

async fn retry(f: &Fixture, task: TaskId) -> RetryCompletionOutcome {
    f.store.task_retry_completion(f.owner, task).await.unwrap().unwrap()
}

async fn started(f: &Fixture, task: TaskId) {
    let outcome = retry(f, task).await;
    assert!(matches!(&outcome, RetryCompletionOutcome::Started(news) if news.ready.is_some()), "{outcome:?}");
}

async fn assert_refused(f: &Fixture, task: TaskId) {
    let (before, status) = (f.rows(task).await, f.status(task).await);
    let outcome = retry(f, task).await;
    assert!(matches!(outcome, RetryCompletionOutcome::Refused(found) if found == status), "{outcome:?}");
    assert_eq!(f.rows(task).await, before);
}

#[sqlx::test(migrations = "../migrations")]
async fn the_next_attempt_has_the_work_of_the_run_before_and_only_delivers_it(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({"completionAction": "merge", "mergeStrategy": "squash"})).await;
    let child = f.submit(json!({"dependsOn": [task]})).await;
    ended(&f, task, conflict(true)).await;
    f.release().await;
    let row = f.task(task).await;
    assert_eq!(row.completion, Some(*conflict(true).completion));
    let told = f.history(task).await.pop().unwrap().data;
    assert_eq!(told["completion"]["conflicts"], json!(["src/lib.rs"]));

    started(&f, task).await;
    let row = f.task(task).await;
    assert_eq!(
        (row.status, row.finished_at, row.base_commit),
        (TaskStatus::Queued, None, Some("e".repeat(40)))
    );
    assert_eq!(row.completion, Some(*conflict(true).completion), "it stays until there is another");
    assert_eq!(f.status(child).await, TaskStatus::Queued, "what depends on the task goes on");
    let claimed = f.store.tasks_claim(f.worker().await, &[task]).await.unwrap().remove(0);
    assert!(claimed.completion_only);
    assert_eq!(
        f.store.checkpoint_patch_before(task, i32::MAX).await.unwrap().map(|patch| patch.number),
        Some(1)
    );
    let completion = Completion { status: CompletionStatus::Merged, ..Completion::default() };
    let merged = TaskResult { completion: completion.clone().into(), ..TaskResult::default() };
    f.apply(task, &Transition::completed(claimed.epoch, merged)).await;
    let row = f.task(task).await;
    assert_eq!(
        (row.status, row.completion, row.completion_error),
        (TaskStatus::Merged, Some(completion), None)
    );
    assert_refused(&f, task).await;
    f.assert_history_gives_status(task).await;
    f.assert_dependencies_are_counted().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn nothing_is_repeated_that_went_well_or_whose_work_is_not_at_hand(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let fresh = f.submit(json!({})).await;
    assert_refused(&f, fresh).await;
    let attempt = f.run(fresh).await;
    assert_refused(&f, fresh).await;
    f.complete(attempt).await;
    assert_refused(&f, fresh).await;
    let unsaved = f.submit(json!({})).await;
    ended(&f, unsaved, conflict(false)).await;
    assert_refused(&f, unsaved).await;
    let expired = f.submit(json!({})).await;
    ended(&f, expired, conflict(true)).await;
    sqlx::query("UPDATE checkpoint_patches SET expires_at = now()").execute(&f.pool).await.unwrap();
    assert_eq!(f.store.checkpoint_patches_prune(10).await.unwrap(), 2);
    assert_refused(&f, expired).await;
    assert!(f.store.task_retry_completion(f.owner, TaskId::new()).await.unwrap().is_none());
    let stranger = Fixture::new(f.pool.clone()).await;
    assert!(f.store.task_retry_completion(stranger.owner, expired).await.unwrap().is_none());
}

#[sqlx::test(migrations = "../migrations")]
async fn what_would_fail_the_task_makes_it_done_again_with_its_result(pool: PgPool) {
    for is_running in [false, true] {
        let f = Fixture::new(pool.clone()).await;
        let task = f.submit(json!({})).await;
        ended(&f, task, conflict(true)).await;
        started(&f, task).await;
        let attempt = if is_running { f.run(task).await } else { f.claim(f.worker().await, task).await };
        f.fail(attempt, Failure { permanent: true, ..agent_failure() }).await;
        let row = f.task(task).await;
        assert_eq!((row.status, row.status_code), (TaskStatus::Done, None));
        assert_eq!(
            (row.result_commit, row.result_branch.as_deref()),
            (Some("d".repeat(40)), Some("makima/x"))
        );
        assert_eq!(row.completion_error.as_deref(), Some("AGENT_FAILED: exit code 1"));
        let completion = row.completion.unwrap();
        let error = completion.error.unwrap();
        assert_eq!((completion.status, error.code.as_str()), (CompletionStatus::Failed, "AGENT_FAILED"));
        assert_eq!((completion.branch.as_deref(), completion.conflicts.len()), (Some("makima/x"), 0));
        f.assert_history_gives_status(task).await;
        started(&f, task).await;
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_lost_worker_costs_a_retry_and_the_next_one_still_only_delivers(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({})).await;
    ended(&f, task, conflict(true)).await;
    started(&f, task).await;
    f.fail(f.run(task).await, agent_failure()).await;
    assert_eq!(f.task(task).await.retry_count, 1);
    f.release().await;
    let claimed = f.store.tasks_claim(f.worker().await, &[task]).await.unwrap().remove(0);
    assert!(claimed.completion_only);
    f.assert_history_gives_status(task).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_repeat_that_was_stopped_may_be_asked_for_again_and_a_start_runs_the_agent(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({})).await;
    ended(&f, task, conflict(true)).await;
    started(&f, task).await;
    f.apply(task, &Transition::cancelled()).await;
    started(&f, task).await;
    f.apply(task, &Transition::cancelled()).await;
    f.start(task).await;
    let claimed = f.store.tasks_claim(f.worker().await, &[task]).await.unwrap().remove(0);
    assert!(!claimed.completion_only);
    f.apply(task, &Transition::cancelled()).await;
    assert_refused(&f, task).await;
    f.assert_history_gives_status(task).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_merge_is_noted_so_that_the_next_attempt_knows_it_and_runs_no_agent(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (task, noted) = (f.submit(json!({})).await, "1".repeat(40));
    // An earlier run's merge says nothing about the work of this one.
    let first = f.run(task).await;
    accepted(f.store.attempt_merging(first, &"0".repeat(40), true).await.unwrap());
    f.complete(first).await;
    f.start(task).await;
    let lost = f.run(task).await;
    assert_eq!(accepted(f.store.attempt_merging(lost, &noted, true).await.unwrap()), Vec::<String>::new());
    f.fail(lost, agent_failure()).await;
    assert!(matches!(f.store.attempt_merging(lost, &noted, true).await.unwrap(), Fenced::Stale));
    f.release().await;
    let claimed = f.store.tasks_claim(f.worker().await, &[task]).await.unwrap().remove(0);
    assert!(claimed.completion_only);
    let next = OpenAttempt { task_id: task, epoch: claimed.epoch };
    let earlier = f.store.attempt_merging(next, &"2".repeat(40), true).await.unwrap();
    assert_eq!(accepted(earlier), [noted]);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_merge_of_work_that_is_not_saved_leaves_the_agent_to_the_next_attempt(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let lost = f.run(f.submit(json!({})).await).await;
    accepted(f.store.attempt_merging(lost, &"1".repeat(40), false).await.unwrap());
    f.fail(lost, agent_failure()).await;
    f.release().await;
    let claimed = f.store.tasks_claim(f.worker().await, &[lost.task_id]).await.unwrap().remove(0);
    assert!(!claimed.completion_only);
}
