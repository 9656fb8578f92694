//! A worker's sign of life in Redis, and the end of those that have fallen silent.

use std::time::Duration;

use makima_shared::domain::WorkerId;
use makima_shared::queue::Queue;
use makima_shared::store::Renewal;
use sqlx::PgPool;
use tokio::task::yield_now;

use crate::fixture::{Fixture, HOUR};
use crate::redis_fixture::OwnQueue;

/// Waits until Redis has noticed the end of connections.
async fn until_absent(queue: &Queue, workers: &[WorkerId], wanted: usize) {
    while queue.workers_absent(workers).await.unwrap().len() != wanted {
        yield_now().await;
    }
}

#[tokio::test]
async fn a_worker_is_there_for_as_long_as_its_connection() {
    let own = OwnQueue::new();
    // More than one call asks for.
    let workers: Vec<_> = (0..700).map(|_| WorkerId::new()).collect();
    let (first, last) = (workers[0], workers[699]);
    assert_eq!(own.queue.workers_absent(&workers).await.unwrap(), workers);
    assert!(own.queue.workers_absent(&[]).await.unwrap().is_empty());
    let one = own.queue.presence_open(first).await.unwrap();
    let _other = own.queue.presence_open(last).await.unwrap();
    assert_eq!(own.queue.workers_absent(&workers).await.unwrap(), workers[1..699]);
    drop(one);
    until_absent(&own.queue, &[first, last], 1).await;
    assert_eq!(own.queue.workers_absent(&[first, last]).await.unwrap(), [first]);
}

#[tokio::test]
async fn a_wiped_redis_keeps_every_sign_of_life() {
    let own = OwnQueue::new();
    let worker = WorkerId::new();
    let _presence = own.queue.presence_open(worker).await.unwrap();
    own.lose_everything().await;
    assert!(own.queue.workers_absent(&[worker]).await.unwrap().is_empty());
    assert_eq!(own.keys().await, [""; 0], "a channel is no key");
}

#[tokio::test]
async fn no_sign_of_life_is_opened_where_there_is_no_redis() {
    let queue = Queue::open("redis+unix:///nowhere/redis.sock", "p").unwrap();
    assert!(queue.presence_open(WorkerId::new()).await.is_err());
    assert!(queue.workers_absent(&[WorkerId::new()]).await.is_err());
}

/// Makes the last beat of a worker older.
async fn age(f: &Fixture, worker: WorkerId, age: Duration) {
    let aged = sqlx::query("UPDATE workers SET renewed_at = now() - make_interval(secs => $2) WHERE id = $1");
    aged.bind(worker).bind(age.as_secs_f64()).execute(&f.pool).await.unwrap();
    // PostgreSQL counts a beat from its own start at the earliest, and has just been started for the tests.
    let up = "SELECT extract(epoch FROM now() - pg_postmaster_start_time())::float8 > $1";
    while !sqlx::query_scalar::<_, bool>(up).bind(age.as_secs_f64()).fetch_one(&f.pool).await.unwrap() {
        yield_now().await;
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn only_an_announced_worker_whose_beat_is_overdue_is_ended(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let [silent, beating, old_version, unsuspected] =
        [f.worker().await, f.worker().await, f.worker().await, f.worker().await];
    for worker in [silent, beating, unsuspected] {
        f.store.worker_announce(worker, Duration::from_secs(1)).await.unwrap();
    }
    for worker in [silent, old_version, unsuspected] {
        age(&f, worker, Duration::from_millis(1300)).await;
    }
    age(&f, beating, Duration::from_millis(900)).await;
    let listed: Vec<_> = f.store.workers_beats().await.unwrap().iter().map(|beat| beat.id).collect();
    assert_eq!(listed, [silent, beating, unsuspected]);
    let suspects = [silent, beating, old_version, WorkerId::new()];
    assert_eq!(f.store.worker_renew(beating, HOUR, HOUR).await.unwrap(), Renewal::Held(None));
    assert_eq!(f.store.workers_end_silent(&suspects).await.unwrap(), [silent]);
    assert!(f.store.workers_end_silent(&suspects).await.unwrap().is_empty());
    assert_eq!(
        f.store.worker_renew(silent, HOUR, HOUR).await.unwrap(),
        Renewal::Over,
        "it learns of its end at its next beat"
    );
    assert_eq!(f.store.worker_renew(unsuspected, HOUR, HOUR).await.unwrap(), Renewal::Held(None));
}

/// The last beat is so old that the renewal comes now before, now after the end.
#[sqlx::test(migrations = "../migrations")]
async fn a_silent_worker_is_renewed_or_ended_but_never_both(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let mut seen = [0, 0];
    for round in 0..200 {
        let worker = f.worker().await;
        f.store.worker_announce(worker, Duration::from_millis(1)).await.unwrap();
        age(&f, worker, Duration::from_secs(1)).await;
        let suspects = [worker];
        let (renew, end) = (f.store.worker_renew(worker, HOUR, HOUR), f.store.workers_end_silent(&suspects));
        let (renewed, ended) =
            if round % 2 == 0 { tokio::join!(renew, end) } else { swapped(end, renew).await };
        let (renewed, ended) = (renewed.unwrap() != Renewal::Over, !ended.unwrap().is_empty());
        assert_ne!(renewed, ended, "round {round}");
        seen[usize::from(renewed)] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "the race was no race: {seen:?}");
}

async fn swapped<A, B>(first: impl Future<Output = A>, second: impl Future<Output = B>) -> (B, A) {
    let (a, b) = tokio::join!(first, second);
    (b, a)
}

#[sqlx::test(migrations = "../migrations")]
async fn what_a_silent_worker_held_is_told_from_what_a_lease_cost(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (silent, expired) = (f.worker().await, f.worker_with_lease(Duration::from_secs(1)).await);
    f.store.worker_announce(silent, Duration::from_millis(1)).await.unwrap();
    let (of_silent, of_expired) =
        (f.submit(serde_json::json!({})).await, f.submit(serde_json::json!({})).await);
    f.claim(silent, of_silent).await;
    f.claim(expired, of_expired).await;
    age(&f, silent, Duration::from_secs(1)).await;
    assert_eq!(f.store.workers_end_silent(&[silent]).await.unwrap(), [silent]);
    while f.store.workers_end_expired().await.unwrap().is_empty() {
        yield_now().await;
    }
    let lost = f.store.attempts_lost(10).await.unwrap();
    let lost: Vec<_> = lost.iter().map(|attempt| (attempt.task_id, attempt.lease_ran_out)).collect();
    assert_eq!(lost, [(of_silent, false), (of_expired, true)]);
}
