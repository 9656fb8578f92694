//! Starting a task by name: before its time, or after its end.

use std::collections::BTreeSet;

use makima_shared::domain::{
    AttemptOutcome, Failure, Reason, RetryPolicy, TaskId, TaskResult, TaskStatus, Transition,
};
use makima_shared::store::StartOutcome;
use makima_shared::testing;
use serde_json::json;
use sqlx::PgPool;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, HOUR, accepted, agent_failure, checkpoint, wide};

async fn outcome(f: &Fixture, task: TaskId) -> StartOutcome {
    f.store.task_start(f.owner, task).await.unwrap().unwrap()
}

/// A task that failed for good.
async fn failed(f: &Fixture) -> TaskId {
    let task = f.submit(json!({})).await;
    f.fail(f.run(task).await, Failure { permanent: true, ..agent_failure() }).await;
    task
}

async fn limit_running(f: &Fixture, limit: i32) {
    let limited = sqlx::query("UPDATE owners SET max_running = $1 WHERE id = $2");
    limited.bind(limit).bind(f.owner).execute(&f.pool).await.unwrap();
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_that_waits_for_its_time_is_released_before_it(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let later = f.submit(json!({"runAt": "2999-01-01T00:00:00Z", "priority": 7})).await;
    let news = f.start(later).await;
    assert_eq!(news.ready.map(|ready| (ready.id, ready.priority)), Some((later, 7)));
    let row = f.task(later).await;
    assert_eq!((row.status, row.run_at, row.not_before), (TaskStatus::Queued, None, None));
    assert_eq!(f.story(later).await, ["submitted", "expedited"]);
    f.assert_history_gives_status(later).await;
    f.run(later).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_that_rests_after_a_failure_is_released_with_its_retries_as_they_are(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let attempt = f.run(f.submit(json!({})).await).await;
    let slow = RetryPolicy { base_delay: HOUR, max_delay: HOUR };
    let rests = Transition::attempt_failed(attempt.epoch, agent_failure(), 0, 3, &slow);
    f.apply(attempt.task_id, &rests).await;
    assert!(f.release().await.is_empty());
    f.start(attempt.task_id).await;
    let row = f.task(attempt.task_id).await;
    assert_eq!((row.status, row.retry_count), (TaskStatus::Queued, 1));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_with_open_dependencies_is_left_and_they_are_named(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (open, done) = (f.submit(json!({"name": "open"})).await, f.submit(json!({})).await);
    f.complete(f.run(done).await).await;
    let child = f.submit(json!({"dependsOn": [open, done]})).await;
    let before = f.rows(child).await;
    let StartOutcome::Blocked(named) = outcome(&f, child).await else { panic!("started") };
    assert_eq!(named.iter().map(|task| task.id).collect::<Vec<_>>(), [open]);
    assert_eq!(f.rows(child).await, before);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_on_its_way_is_left_as_it_is(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({})).await;
    for step in 0..3 {
        let before = f.rows(task).await;
        assert!(matches!(outcome(&f, task).await, StartOutcome::Underway), "step {step}");
        assert_eq!(f.rows(task).await, before);
        if step == 0 {
            f.claim(f.worker().await, task).await;
        } else if step == 1 {
            f.apply(task, &Transition::started(1.into())).await;
        }
    }
    assert!(f.store.task_start(f.owner, TaskId::new()).await.unwrap().is_none());
    let stranger = Fixture::new(f.pool.clone()).await;
    assert!(f.store.task_start(stranger.owner, task).await.unwrap().is_none());
    sqlx::query("UPDATE tasks SET status = 'paused', worker_id = NULL").execute(&f.pool).await.unwrap();
    assert!(matches!(outcome(&f, task).await, StartOutcome::Refused(TaskStatus::Paused)));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_failed_task_runs_again_with_all_its_retries_from_its_last_checkpoint(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({"maxRetries": 1})).await;
    let culprit = f.worker().await;
    let failure = Failure { exclude: Some(culprit), ..agent_failure() };
    f.fail(f.run(task).await, failure.clone()).await;
    f.release().await;
    let last = f.run(task).await;
    accepted(f.store.attempt_prepared(last, &"e".repeat(40), None).await.unwrap());
    accepted(f.store.checkpoint_create(task, last.epoch, &checkpoint(b"x"), HOUR).await.unwrap());
    f.fail(last, failure).await;
    assert_eq!(f.status(task).await, TaskStatus::Failed);

    let news = f.start(task).await;
    assert_eq!(news.ready.map(|ready| ready.excluded_worker_ids), Some(Vec::new()));
    let row = f.task(task).await;
    assert_eq!((row.status, row.retry_count, row.epoch.number()), (TaskStatus::Queued, 0, 2));
    assert_eq!((row.finished_at, row.status_code, row.base_commit), (None, None, Some("e".repeat(40))));
    assert!(f.store.checkpoint_patch_before(task, i32::MAX).await.unwrap().is_some());
    assert!(f.story(task).await.ends_with(&["restarted".to_owned(), "released".to_owned()]));
    let again = f.run(task).await;
    assert_eq!(again.epoch.number(), 3);
    f.fail(again, agent_failure()).await;
    assert_eq!(f.status(task).await, TaskStatus::Pending, "it may be tried again");
    f.assert_history_gives_status(task).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_done_task_begins_anew_and_keeps_its_result_until_there_is_another(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let first = f.run(f.submit(json!({})).await).await;
    let task = first.task_id;
    accepted(f.store.attempt_prepared(first, &"e".repeat(40), None).await.unwrap());
    accepted(f.store.checkpoint_create(task, first.epoch, &checkpoint(b"old"), HOUR).await.unwrap());
    let result =
        TaskResult { commit: Some("d".repeat(40)), branch: Some("b".to_owned()), ..TaskResult::default() };
    f.apply(task, &Transition::completed(first.epoch, result)).await;
    f.start(task).await;
    let row = f.task(task).await;
    assert_eq!((row.base_commit, row.result_commit), (None, Some("d".repeat(40))));
    let second = f.run(task).await;
    let newest = || f.store.checkpoint_patch_before(task, i32::MAX);
    assert!(newest().await.unwrap().is_none(), "the work of the first run is no place to go on from");
    accepted(f.store.checkpoint_create(task, second.epoch, &checkpoint(b"new"), HOUR).await.unwrap());
    assert_eq!(newest().await.unwrap().map(|patch| patch.number), Some(2));
    f.complete(second).await;
    let row = f.task(task).await;
    assert_eq!((row.result_commit, row.result_branch), (None, None), "the second run changed nothing");
    assert_eq!(f.store.checkpoints_list(f.owner, task).await.unwrap().unwrap().len(), 2);
    f.assert_history_gives_status(task).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn whatever_has_ended_can_be_started_again(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let cancelled = f.submit(json!({"runAt": "2999-01-01T00:00:00Z"})).await;
    f.apply(cancelled, &Transition::cancelled()).await;
    let interrupted = f.submit(json!({})).await;
    let merged = f.submit(json!({})).await;
    f.complete(f.run(merged).await).await;
    for (task, status) in [(interrupted, "interrupted"), (merged, "merged")] {
        let place = sqlx::query("UPDATE tasks SET status = $2::task_status WHERE id = $1");
        place.bind(task).bind(status).execute(&f.pool).await.unwrap();
    }
    for task in [cancelled, interrupted, merged, failed(&f).await] {
        assert!(f.start(task).await.ready.is_some());
        assert_eq!(f.status(task).await, TaskStatus::Queued);
        f.complete(f.run(task).await).await;
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_restart_counts_its_dependencies_by_where_they_stand_now(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let parent = failed(&f).await;
    let child = f.submit(json!({"dependsOn": [parent]})).await;
    assert_eq!(f.fail_blocked().await, [child]);

    // Its parent still has no hope, so neither has it.
    let news = f.start(child).await;
    assert!(news.ready.is_none() && news.is_blocked);
    assert_eq!(f.fail_blocked().await, [child]);
    f.assert_dependencies_are_counted().await;

    // Its parent is on its way again: it waits for that.
    f.start(parent).await;
    let news = f.start(child).await;
    assert!(news.ready.is_none() && !news.is_blocked);
    assert_eq!(f.status(child).await, TaskStatus::Pending);
    f.assert_dependencies_are_counted().await;
    assert_eq!(f.complete_all(&[f.run(parent).await]).await, [child]);

    // Its parent was done, and runs once more.
    f.complete(f.run(child).await).await;
    f.start(parent).await;
    f.start(child).await;
    assert_eq!(f.status(child).await, TaskStatus::Pending);
    f.assert_dependencies_are_counted().await;
    assert_eq!(f.complete_all(&[f.run(parent).await]).await, [child]);
    f.assert_dependencies_are_counted().await;
    f.assert_history_gives_status(child).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_restarted_parent_is_waited_for_again_by_pending_children_alone(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (parent, other) = (f.submit(json!({})).await, f.submit(json!({})).await);
    let waiting = f.submit(json!({"dependsOn": [parent, other]})).await;
    let released = f.submit(json!({"dependsOn": [parent]})).await;
    assert_eq!(f.complete_all(&[f.run(parent).await]).await, [released]);
    f.start(parent).await;
    f.assert_dependencies_are_counted().await;
    assert_eq!(f.status(released).await, TaskStatus::Queued);
    assert!(f.complete_all(&[f.run(other).await]).await.is_empty(), "the parent runs again");
    assert_eq!(f.complete_all(&[f.run(parent).await]).await, [waiting]);
    f.assert_dependencies_are_counted().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_wide_fan_out_that_is_cut_short_by_a_restart_is_told_of_the_next_end(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let parent = f.submit(json!({})).await;
    let mut children = BTreeSet::new();
    for _ in 0..120 {
        children.insert(f.submit(json!({"dependsOn": [parent]})).await);
    }
    f.complete(f.run(parent).await).await;
    let mut released: BTreeSet<_> =
        f.store.children_release(&[parent], 30).await.unwrap().released.iter().map(|t| t.id).collect();
    f.start(parent).await;
    assert!(f.store.tasks_children_waiting(10).await.unwrap().is_empty());
    f.assert_dependencies_are_counted().await;
    released.extend(f.complete_all(&[f.run(parent).await]).await);
    released.extend(f.release().await);
    assert_eq!(released, children);
    f.assert_dependencies_are_counted().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_of_a_limited_owner_gets_in_line_for_a_slot(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (ended, later) = (failed(&f).await, f.submit(json!({"runAt": "2999-01-01T00:00:00Z"})).await);
    limit_running(&f, 1).await;
    for task in [ended, later] {
        let news = f.start(task).await;
        assert!(news.ready.is_none() && news.slots_wanted);
        assert_eq!(f.status(task).await, TaskStatus::Pending);
        assert!(matches!(outcome(&f, task).await, StartOutcome::Underway), "it is in line already");
    }
    assert_eq!(f.story(later).await, ["submitted", "EXPEDITED"]);
    let given: Vec<_> = f.store.slots_give(f.owner).await.unwrap().iter().map(|task| task.id).collect();
    assert_eq!(given, [ended]);
    f.complete(f.run(ended).await).await;
    assert_eq!(f.store.slots_give(f.owner).await.unwrap().len(), 1);
    f.assert_history_gives_status(later).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn many_clicks_start_a_task_once(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let wide = wide(&f.pool);
    for _ in 0..10 {
        let task = failed(&f).await;
        let mut clicks = JoinSet::new();
        for _ in 0..8 {
            let (store, owner) = (testing::store(&wide), f.owner);
            clicks.spawn(async move { store.task_start(owner, task).await.unwrap().unwrap() });
        }
        let started = clicks.join_all().await;
        let started = started.iter().filter(|outcome| matches!(outcome, StartOutcome::Started(_)));
        assert_eq!(started.count(), 1);
        f.assert_history_gives_status(task).await;
    }
    wide.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn failures_of_an_earlier_run_are_not_held_against_the_next(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({})).await;
    let unreachable = |permanent| Failure {
        outcome: AttemptOutcome::RepositoryUnreachable,
        reason: Reason::new("REPOSITORY_UNREACHABLE", "no route"),
        permanent,
        ..agent_failure()
    };
    f.fail(f.run(task).await, unreachable(false)).await;
    f.release().await;
    f.fail(f.run(task).await, unreachable(true)).await;
    let streak = || f.store.attempts_streak(task, AttemptOutcome::RepositoryUnreachable);
    assert_eq!(streak().await.unwrap(), 2);
    f.start(task).await;
    assert_eq!(streak().await.unwrap(), 0);
    f.fail(f.run(task).await, unreachable(false)).await;
    assert_eq!(streak().await.unwrap(), 1);
}
