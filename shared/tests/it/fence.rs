//! Invariant 3: once an epoch is closed, none of its writes is taken.

use makima_shared::domain::{AttemptOutcome, Epoch, EventKind, TaskResult, TaskStatus, Transition};
use makima_shared::store::{Applied, Fenced, OpenAttempt, Renewal};
use serde_json::json;
use sqlx::PgPool;
use std::time::Duration;

use crate::fixture::{AT_ONCE, Fixture, HOUR, agent_failure, checkpoint};

/// Every move that an attempt can make.
fn moves(epoch: Epoch) -> [Transition; 5] {
    [
        Transition::started(epoch),
        Transition::completed(epoch, TaskResult::default()),
        Transition::attempt_failed(epoch, agent_failure(), 0, 3, &AT_ONCE),
        Transition::attempt_failed(epoch, agent_failure(), 3, 3, &AT_ONCE),
        Transition::handed_back(epoch),
    ]
}

/// Tries every write that an attempt can make, and checks that none was taken nor left a trace.
pub(crate) async fn assert_closed(f: &Fixture, attempt: OpenAttempt) {
    let OpenAttempt { task_id, epoch } = attempt;
    let before = f.rows(task_id).await;
    for kind in [EventKind::Output, EventKind::Notice, EventKind::Status] {
        let appended = f.store.events_append(task_id, epoch, kind, &[json!({"text": "late"})]).await;
        assert_eq!(appended.unwrap(), Fenced::Stale);
    }
    let stored = f.store.checkpoint_create(task_id, epoch, &checkpoint(b"late"), HOUR).await;
    assert_eq!(stored.unwrap(), Fenced::Stale);
    let prepared = f.store.attempt_prepared(attempt, &"c".repeat(40), Some(1)).await;
    assert_eq!(prepared.unwrap(), Fenced::Stale);
    assert_eq!(f.store.attempt_pushing(attempt, "late").await.unwrap(), Fenced::Stale);
    for transition in moves(epoch) {
        let applied = f.store.task_transition(task_id, &transition).await.unwrap();
        assert!(matches!(applied, Applied::Refused), "{transition:?}");
    }
    assert_eq!(f.rows(task_id).await, before);
}

#[sqlx::test(migrations = "../migrations")]
async fn nothing_is_written_after_a_cancel(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let running = f.run(f.submit(json!({})).await).await;
    f.output(running).await;
    let starting = f.claim(f.worker().await, f.submit(json!({})).await).await;
    for attempt in [running, starting] {
        f.apply(attempt.task_id, &Transition::cancelled()).await;
        assert_closed(&f, attempt).await;
        assert_eq!(f.status(attempt.task_id).await, TaskStatus::Cancelled);
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn nothing_is_written_after_the_task_is_done(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let attempt = f.run(f.submit(json!({})).await).await;
    f.complete(attempt).await;
    assert_closed(&f, attempt).await;
    let cancelled = f.store.task_transition(attempt.task_id, &Transition::cancelled()).await.unwrap();
    assert!(matches!(cancelled, Applied::Refused));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_zombie_writes_nothing_after_its_task_was_lost_and_none_after_it_was_claimed_again(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let zombie = f.run(f.submit(json!({})).await).await;
    let mut loss = agent_failure();
    loss.outcome = AttemptOutcome::WorkerLost;
    f.fail(zombie, loss).await;
    assert_closed(&f, zombie).await;
    f.release().await;
    assert_closed(&f, zombie).await;
    let heir = f.claim(f.worker().await, zombie.task_id).await;
    assert_closed(&f, zombie).await;
    f.apply(heir.task_id, &Transition::started(heir.epoch)).await;
    f.output(heir).await;
    assert_closed(&f, zombie).await;
    f.complete(heir).await;
    assert_closed(&f, zombie).await;
    f.assert_history_gives_status(heir.task_id).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn nothing_is_written_after_a_hand_back_nor_after_giving_up(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let drained = f.run(f.submit(json!({})).await).await;
    f.apply(drained.task_id, &Transition::handed_back(drained.epoch)).await;
    assert_closed(&f, drained).await;
    let last = f.run(f.submit(json!({"maxRetries": 0})).await).await;
    f.fail(last, agent_failure()).await;
    assert_closed(&f, last).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn an_epoch_that_was_never_opened_writes_nothing(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let attempt = f.run(f.submit(json!({})).await).await;
    for epoch in [attempt.epoch.number() + 1, 0, -1] {
        assert_closed(&f, OpenAttempt { epoch: Epoch::from(epoch), ..attempt }).await;
    }
    let queued = f.submit(json!({})).await;
    assert_closed(&f, OpenAttempt { task_id: queued, epoch: Epoch::from(0) }).await;
}

/// Completion and cancel race: one of them wins, and the attempt's row tells which.
#[sqlx::test(migrations = "../migrations")]
async fn a_completion_and_a_cancel_at_once_have_one_winner(pool: PgPool) {
    let f = Fixture::new(pool).await;
    for _ in 0..50 {
        let attempt = f.run(f.submit(json!({})).await).await;
        let done = Transition::completed(attempt.epoch, TaskResult::default());
        let cancel = Transition::cancelled();
        let (done, cancelled) = tokio::join!(
            f.store.task_transition(attempt.task_id, &done),
            f.store.task_transition_by_owner(f.owner, attempt.task_id, &cancel),
        );
        let done = matches!(done.unwrap(), Applied::Moved(_));
        assert_ne!(done, matches!(cancelled.unwrap(), Applied::Moved(_)));
        let attempts = f.store.attempts_list(f.owner, attempt.task_id).await.unwrap();
        let expected = if done { AttemptOutcome::Completed } else { AttemptOutcome::Cancelled };
        assert_eq!(attempts[0].outcome, Some(expected));
        assert_closed(&f, attempt).await;
        f.assert_history_gives_status(attempt.task_id).await;
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn an_expired_lease_closes_no_epoch_before_the_task_is_taken_away(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let attempt = f.run(f.submit(json!({})).await).await;
    sqlx::query("UPDATE workers SET lease_expires_at = now()").execute(&f.pool).await.unwrap();
    // Nobody else can have the task yet, so the late word is still the only one.
    f.output(attempt).await;
    let worker = f.task(attempt.task_id).await.worker_id.unwrap();
    assert_eq!(f.store.worker_renew(worker, Duration::from_secs(9), HOUR).await.unwrap(), Renewal::Over);
}
