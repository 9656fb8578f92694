//! Workers whose connection breaks: a hint, never a verdict.

use std::time::Duration;

use makima_shared::domain::{AttemptOutcome, WorkerId};
use makima_shared::queue::InboxMessage;
use makima_shared::store::Renewal;
use serde_json::json;
use sqlx::PgPool;
use tokio::task::yield_now;

use crate::crew::Worker;
use crate::fixture::{CALLED, EAGER, Fixture, HOUR};

/// A beat so short that one is overdue a quarter of a second after it came.
const SHORT_BEAT: Duration = Duration::from_millis(1);

async fn is_alive(f: &Fixture, worker: WorkerId) -> bool {
    f.store.worker_get(worker).await.unwrap().unwrap().alive
}

/// A worker that dies with its connection, and is ended for it: by then the scheduler has looked at all others too.
async fn until_a_dead_worker_is_ended(f: &Fixture) {
    let dead = Worker::join(f).await;
    f.store.worker_announce(dead.id, SHORT_BEAT).await.unwrap();
    while is_alive(f, dead.id).await {
        yield_now().await;
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn the_task_of_a_dead_worker_goes_to_another_one_long_before_the_lease_ends(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit("task", &[], json!({})).await;
    let scheduler = f.schedule(&EAGER);
    let (mut dead, mut heir) = (Worker::join(&f).await, Worker::join(&f).await);
    let presence = f.queue.presence_open(dead.id).await.unwrap();
    f.store.worker_announce(dead.id, SHORT_BEAT).await.unwrap();
    dead.start().await;
    drop(presence);
    assert_eq!(heir.claim().await.epoch.number(), 2);
    let attempts = f.store.attempts_list(f.owner, task).await.unwrap();
    assert_eq!((attempts[0].worker_id, attempts[0].outcome), (dead.id, Some(AttemptOutcome::WorkerLost)));
    let message = attempts[0].error_message.as_deref().unwrap();
    assert_eq!(message, "worker w ended, or its connection broke and its beats stopped");
    let worker = f.store.worker_get(dead.id).await.unwrap().unwrap();
    assert!(!worker.alive && worker.lease_expires_at > attempts[0].ended_at.unwrap());
    assert_eq!(f.store.worker_renew(dead.id, HOUR, HOUR).await.unwrap(), Renewal::Over);
    scheduler.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn neither_a_frozen_worker_nor_one_cut_off_from_redis_nor_one_that_never_was_there_is_ended(
    pool: PgPool,
) {
    let f = Fixture::new(pool).await;
    let scheduler = f.schedule(&EAGER);
    // Its connection stands and its beats do not come.
    let frozen = Worker::join(&f).await;
    let _presence = f.queue.presence_open(frozen.id).await.unwrap();
    f.store.worker_announce(frozen.id, SHORT_BEAT).await.unwrap();
    // It has no connection, and its beats come.
    let cut_off = Worker::join(&f).await;
    f.store.worker_announce(cut_off.id, SHORT_BEAT).await.unwrap();
    let beats = async {
        while f.store.worker_renew(cut_off.id, HOUR, HOUR).await.unwrap() != Renewal::Over {
            yield_now().await;
        }
        panic!("the worker that is cut off was ended");
    };
    // It has never announced itself.
    let unannounced = Worker::join(&f).await;
    tokio::select! {
        () = until_a_dead_worker_is_ended(&f) => {}
        () = beats => {}
    }
    for worker in [frozen.id, cut_off.id, unannounced.id] {
        assert!(is_alive(&f, worker).await);
    }
    scheduler.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_scheduler_without_redis_ends_nobody_for_it(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (silent, mut expired) = (Worker::join(&f).await, Worker::join(&f).await);
    f.store.worker_announce(silent.id, SHORT_BEAT).await.unwrap();
    let held = f.submit("task", &[], json!({"maxRetries": 0})).await;
    expired.start().await;
    let scheduler = f.schedule_over(&EAGER, f.queue_without_redis());
    expired.expire().await;
    f.until(held, makima_shared::domain::TaskStatus::Failed).await;
    assert!(is_alive(&f, silent.id).await);
    scheduler.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn the_bell_of_a_worker_whose_connection_broke_is_heard_by_another_one_at_once(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (dead, heir) = (Worker::join(&f).await.id, Worker::join(&f).await.id);
    // Its beats are far from overdue, so nothing but the bell is passed on.
    f.store.worker_announce(dead, HOUR).await.unwrap();
    for worker in [dead, heir] {
        assert!(f.queue.ready_claim(worker, &[], 1).await.unwrap().is_empty());
    }
    // The one that has waited longest is rung, and does not hear it.
    let task = f.submit("task", &[], json!({})).await;
    let scheduler = f.schedule(&CALLED);
    assert_eq!(f.queue.inbox(heir).next(HOUR).await.unwrap(), Some(InboxMessage::Claim));
    assert_eq!(f.queue.ready_claim(heir, &[], 1).await.unwrap(), [task]);
    assert!(is_alive(&f, dead).await);
    scheduler.stop().await;
}
