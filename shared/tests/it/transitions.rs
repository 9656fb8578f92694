//! What each named transition does to a task and its attempt.

use chrono::Utc;
use makima_shared::domain::{
    AttemptOutcome, Completion, CompletionStatus, Epoch, RetryPolicy, TaskId, TaskResult, TaskStatus,
    Transition, WorkerId,
};
use makima_shared::store::Applied;
use serde_json::json;
use sqlx::PgPool;

use crate::fixture::{AT_ONCE, Fixture, HOUR, agent_failure};

/// A result that is part of the base branch.
fn merged() -> TaskResult {
    let completion = Completion { status: CompletionStatus::Merged, ..Completion::default() };
    TaskResult { branch: Some("main".to_owned()), completion: completion.into(), ..TaskResult::default() }
}

/// Puts a task into any status, with all that the schema asks for, and epoch 1.
async fn place(f: &Fixture, status: TaskStatus, worker: WorkerId) -> TaskId {
    let task = f.submit(json!({})).await;
    let attempt = f.claim(worker, task).await;
    f.apply(task, &Transition::handed_back(attempt.epoch)).await;
    let update = sqlx::query(
        "UPDATE tasks SET status = $2,
             worker_id = CASE WHEN $2 IN ('starting', 'running') THEN $3 END,
             finished_at = CASE WHEN $2 IN ('done', 'merged', 'failed', 'cancelled') THEN now() END,
             status_code = 'PLACED'
         WHERE id = $1",
    );
    update.bind(task).bind(status).bind(worker).execute(&f.pool).await.unwrap();
    task
}

#[sqlx::test(migrations = "../migrations")]
async fn each_transition_leaves_only_the_statuses_that_it_may_leave(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (worker, epoch) = (f.worker().await, Epoch::from(1));
    let cases: [(Transition, &[TaskStatus]); 8] = [
        (Transition::started(epoch), &[TaskStatus::Starting]),
        (Transition::completed(epoch, TaskResult::default()), &TaskStatus::ACTIVE),
        (Transition::completed(epoch, merged()), &TaskStatus::ACTIVE),
        (Transition::attempt_failed(epoch, agent_failure(), 0, 3, &AT_ONCE), &TaskStatus::ACTIVE),
        (Transition::attempt_failed(epoch, agent_failure(), 3, 3, &AT_ONCE), &TaskStatus::ACTIVE),
        (Transition::handed_back(epoch), &TaskStatus::ACTIVE),
        (Transition::cancelled(), &TaskStatus::CANCELLABLE),
        (Transition::dependency_failed("it failed".to_owned()), &[TaskStatus::Pending]),
    ];
    for (transition, from) in &cases {
        for status in TaskStatus::ALL {
            let task = place(&f, status, worker).await;
            let before = f.rows(task).await;
            let applied = f.store.task_transition(task, transition).await.unwrap();
            if from.contains(&status) {
                assert!(matches!(applied, Applied::Moved(moved) if moved.from == status), "{transition:?}");
                assert_eq!(f.status(task).await, transition.to());
            } else {
                assert!(matches!(applied, Applied::Refused), "{status}: {transition:?}");
                assert_eq!(f.rows(task).await, before);
            }
        }
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn started_keeps_the_worker_and_notes_the_time(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (task, worker) = (f.submit(json!({})).await, f.worker().await);
    let attempt = f.claim(worker, task).await;
    let moved = f.apply(task, &Transition::started(attempt.epoch)).await;
    assert_eq!((moved.from, moved.epoch, moved.held_by), (TaskStatus::Starting, attempt.epoch, Some(worker)));
    let row = f.task(task).await;
    assert_eq!((row.status, row.worker_id, row.version), (TaskStatus::Running, Some(worker), 3));
    assert_eq!(row.last_sequence, moved.sequence);
    let attempts = f.store.attempts_list(f.owner, task).await.unwrap();
    assert!(attempts[0].started_at.is_some() && attempts[0].ended_at.is_none());
}

#[sqlx::test(migrations = "../migrations")]
async fn completed_ends_the_task_with_its_result(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let attempt = f.run(f.submit(json!({})).await).await;
    let result = TaskResult {
        commit: Some("d".repeat(40)),
        branch: Some("makima/x".to_owned()),
        completion_error: Some("the remote is down".to_owned()),
        completion: Completion { status: CompletionStatus::Pushed, ..Completion::default() }.into(),
    };
    f.apply(attempt.task_id, &Transition::completed(attempt.epoch, result)).await;
    let row = f.task(attempt.task_id).await;
    assert_eq!((row.status, row.worker_id, row.retry_count), (TaskStatus::Done, None, 0));
    assert!(row.finished_at.is_some());
    assert_eq!(row.result_commit, Some("d".repeat(40)));
    assert_eq!(row.result_branch.as_deref(), Some("makima/x"));
    assert_eq!(row.completion_error.as_deref(), Some("the remote is down"));
    let ended = f.store.attempts_list(f.owner, row.id).await.unwrap().pop().unwrap();
    assert_eq!((ended.outcome, ended.exit_code), (Some(AttemptOutcome::Completed), Some(0)));
    assert!(ended.ended_at.is_some());
    f.assert_history_gives_status(row.id).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_whose_result_is_in_the_base_branch_is_merged_and_frees_its_children(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let parent = f.submit(json!({})).await;
    let child = f.submit(json!({"dependsOn": [parent]})).await;
    // Its start is never told.
    let attempt = f.claim(f.worker().await, parent).await;
    f.apply(parent, &Transition::completed(attempt.epoch, merged())).await;
    let row = f.task(parent).await;
    assert_eq!((row.status, row.result_branch.as_deref()), (TaskStatus::Merged, Some("main")));
    assert_eq!(row.completion.map(|completion| completion.status), Some(CompletionStatus::Merged));
    assert!(row.finished_at.is_some() && row.worker_id.is_none());
    assert_eq!(f.status(child).await, TaskStatus::Queued);
    f.assert_history_gives_status(parent).await;
    f.assert_history_gives_status(child).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_failed_attempt_rests_and_spends_a_retry(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let attempt = f.run(f.submit(json!({})).await).await;
    let policy = RetryPolicy { base_delay: HOUR, max_delay: HOUR };
    let before = Utc::now();
    f.apply(attempt.task_id, &Transition::attempt_failed(attempt.epoch, agent_failure(), 0, 3, &policy))
        .await;
    let row = f.task(attempt.task_id).await;
    assert_eq!((row.status, row.worker_id, row.retry_count), (TaskStatus::Pending, None, 1));
    assert_eq!(row.status_code.as_deref(), Some("AGENT_FAILED"));
    let rest = row.not_before.unwrap() - before;
    assert!(rest.num_milliseconds() >= -1000 && rest.to_std().is_ok_and(|rest| rest <= HOUR * 2), "{rest}");
    assert!(row.finished_at.is_none());
    let ended = f.store.attempts_list(f.owner, row.id).await.unwrap().pop().unwrap();
    assert_eq!((ended.outcome, ended.exit_code), (Some(AttemptOutcome::AgentFailed), Some(1)));
    assert_eq!(ended.error_message.as_deref(), Some("exit code 1"));
    assert!(f.queued().await.is_empty());
    f.assert_history_gives_status(row.id).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn an_exclusion_is_recorded_once(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (task, culprit) = (f.submit(json!({})).await, f.worker().await);
    let mut failure = agent_failure();
    failure.exclude = Some(culprit);
    for _ in 0..2 {
        let attempt = f.run(task).await;
        f.fail(attempt, failure.clone()).await;
        assert_eq!(f.release().await, [task]);
    }
    let queued = f.queued().await;
    assert_eq!(queued[0].excluded_worker_ids, [culprit]);
    let attempt = f.run(task).await;
    let other = f.task(task).await.worker_id.unwrap();
    f.fail(attempt, makima_shared::domain::Failure { exclude: Some(other), ..failure }).await;
    f.release().await;
    let queued = f.queued().await;
    assert_eq!(queued[0].excluded_worker_ids, [culprit, other]);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_poison_task_stops_when_its_retries_are_spent_and_keeps_its_story(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({"maxRetries": 2})).await;
    for spent in [1, 2] {
        f.fail(f.run(task).await, agent_failure()).await;
        assert_eq!((f.task(task).await.retry_count, f.status(task).await), (spent, TaskStatus::Pending));
        f.release().await;
    }
    f.fail(f.run(task).await, agent_failure()).await;
    let row = f.task(task).await;
    assert_eq!((row.status, row.retry_count, row.epoch.number()), (TaskStatus::Failed, 2, 3));
    assert!(row.finished_at.is_some() && row.not_before.is_none());
    assert_eq!(row.status_code.as_deref(), Some("AGENT_FAILED"));
    let attempts = f.store.attempts_list(f.owner, task).await.unwrap();
    assert_eq!(attempts.len(), 3);
    assert!(attempts.iter().all(|attempt| attempt.outcome == Some(AttemptOutcome::AgentFailed)));
    f.assert_history_gives_status(task).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_permanent_failure_spends_no_retry(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let attempt = f.claim(f.worker().await, f.submit(json!({})).await).await;
    let mut failure = agent_failure();
    failure.permanent = true;
    f.fail(attempt, failure).await;
    let row = f.task(attempt.task_id).await;
    assert_eq!((row.status, row.retry_count), (TaskStatus::Failed, 0));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_hand_back_queues_at_once_and_spends_no_retry(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let attempt = f.run(f.submit(json!({"priority": 7})).await).await;
    let moved = f.apply(attempt.task_id, &Transition::handed_back(attempt.epoch)).await;
    let ready = moved.ready.unwrap();
    assert_eq!((ready.id, ready.priority), (attempt.task_id, 7));
    let row = f.task(attempt.task_id).await;
    assert_eq!((row.status, row.retry_count, row.not_before), (TaskStatus::Queued, 0, None));
    let queued = f.queued().await;
    assert_eq!(queued[0].queued_at, ready.queued_at);
    let ended = f.store.attempts_list(f.owner, row.id).await.unwrap().pop().unwrap();
    assert_eq!(ended.outcome, Some(AttemptOutcome::HandedBack));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_cancel_names_the_worker_and_the_epoch_that_it_stopped(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let attempt = f.run(f.submit(json!({})).await).await;
    let worker = f.task(attempt.task_id).await.worker_id;
    let moved = f.apply(attempt.task_id, &Transition::cancelled()).await;
    assert_eq!((moved.held_by, moved.epoch), (worker, attempt.epoch));
    let row = f.task(attempt.task_id).await;
    assert_eq!((row.worker_id, row.status_code.as_deref()), (None, Some("STOPPED")));
    let ended = f.store.attempts_list(f.owner, row.id).await.unwrap().pop().unwrap();
    assert_eq!(ended.outcome, Some(AttemptOutcome::Cancelled));
    let queued = f.submit(json!({})).await;
    assert_eq!(f.apply(queued, &Transition::cancelled()).await.held_by, None);
}

#[sqlx::test(migrations = "../migrations")]
async fn an_attempt_notes_its_base_and_every_commit_that_it_pushes(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({})).await;
    let first = f.claim(f.worker().await, task).await;
    let noted = f.store.attempt_prepared(first, &"e".repeat(40), None).await.unwrap();
    crate::fixture::accepted(noted);
    f.apply(task, &Transition::started(first.epoch)).await;
    let pushing = |attempt, commit: &'static str| {
        let store = f.store.clone();
        async move { crate::fixture::accepted(store.attempt_pushing(attempt, commit).await.unwrap()) }
    };
    assert!(pushing(first, "one").await.is_empty());
    f.apply(task, &Transition::handed_back(first.epoch)).await;
    let second = f.claim(f.worker().await, task).await;
    crate::fixture::accepted(f.store.attempt_prepared(second, &"e".repeat(40), Some(4)).await.unwrap());
    assert_eq!(pushing(second, "two").await, ["one"]);
    assert_eq!(pushing(second, "three").await, ["one", "two"]);
    assert_eq!(f.task(task).await.base_commit, Some("e".repeat(40)));
    let attempts = f.store.attempts_list(f.owner, task).await.unwrap();
    assert_eq!(attempts.iter().map(|a| a.resumed_from).collect::<Vec<_>>(), [None, Some(4)]);
}
