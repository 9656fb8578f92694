//! Leases of workers.

use std::time::Duration;

use makima_shared::domain::WorkerId;
use makima_shared::store::{Renewal, Store};
use serde_json::json;
use sqlx::{ConnectOptions, PgPool};
use tokio::time::timeout;

use crate::fixture::{Fixture, HOUR};

#[sqlx::test(migrations = "../migrations")]
async fn a_lease_is_renewed_until_it_ran_out_or_its_worker_ended(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (live, gone, expired) =
        (f.worker().await, f.worker().await, f.worker_with_lease(Duration::ZERO).await);
    f.store.worker_end(gone).await.unwrap();
    assert_eq!(f.store.worker_renew(live, HOUR, HOUR).await.unwrap(), Renewal::Held(None));
    assert_eq!(f.store.worker_renew(gone, HOUR, HOUR).await.unwrap(), Renewal::Over);
    assert_eq!(f.store.worker_renew(expired, HOUR, HOUR).await.unwrap(), Renewal::Over);
    assert_eq!(f.store.worker_renew(WorkerId::new(), HOUR, HOUR).await.unwrap(), Renewal::Over);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_lease_is_renewed_at_once_where_its_connection_broke_since_the_last_time(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let worker = f.worker().await;
    let mut lease = f.store.lease_connection(HOUR);
    assert_eq!(lease.renew(worker, HOUR, HOUR).await.unwrap(), Renewal::Held(None));
    let renewing = sqlx::query_scalar::<_, i64>(
        "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE '%UPDATE workers SET lease_expires_at%'
           AND pid <> pg_backend_pid()",
    );
    assert_eq!(renewing.fetch_one(&f.pool).await.unwrap(), 1);
    assert_eq!(lease.renew(worker, HOUR, HOUR).await.unwrap(), Renewal::Held(None));
    f.store.worker_end(worker).await.unwrap();
    assert_eq!(lease.renew(worker, HOUR, HOUR).await.unwrap(), Renewal::Over);
}

/// As when a disk stalls: the fleet asks again and again, and PostgreSQL has but so many connections.
#[sqlx::test(migrations = "../migrations")]
async fn renewals_that_get_no_answer_do_not_pile_up_connections(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let worker = f.worker().await;
    let beat = Duration::from_millis(400);
    let url = f.pool.connect_options().to_url_lossy();
    let mut lease = Store::open(url.as_str(), 1, "makima-test-lease").unwrap().lease_connection(beat);
    assert_eq!(lease.renew(worker, HOUR, beat).await.unwrap(), Renewal::Held(None));
    let mut other = f.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM workers WHERE id = $1 FOR UPDATE")
        .bind(worker)
        .execute(&mut *other)
        .await
        .unwrap();
    for _ in 0..6 {
        assert!(timeout(beat, lease.renew(worker, HOUR, beat)).await.is_err());
    }
    let connections = sqlx::query_scalar::<_, i64>(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'makima-test-lease'",
    );
    let left = connections.fetch_one(&f.pool).await.unwrap();
    assert!(left <= 2, "{left} connections for one lease");
    other.rollback().await.unwrap();
    assert_eq!(lease.renew(worker, HOUR, beat).await.unwrap(), Renewal::Held(None));
}

#[sqlx::test(migrations = "../migrations")]
async fn only_expired_workers_are_ended_and_only_once(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (live, expired) = (f.worker().await, f.worker_with_lease(Duration::ZERO).await);
    assert_eq!(f.store.workers_end_expired().await.unwrap(), [expired]);
    assert!(f.store.workers_end_expired().await.unwrap().is_empty());
    let list = f.store.workers_list().await.unwrap();
    assert_eq!(list.iter().map(|worker| (worker.id, worker.alive)).collect::<Vec<_>>(), [(live, true)]);
    assert!(!f.store.worker_get(expired).await.unwrap().unwrap().alive);
}

/// Leases of a few milliseconds, so that the renewal comes now before, now after their end.
#[sqlx::test(migrations = "../migrations")]
async fn a_worker_is_renewed_or_ended_but_never_both(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let mut seen = [0, 0];
    for round in 0..300_u64 {
        let worker = f.worker_with_lease(Duration::from_micros(round % 30 * 50)).await;
        let (renewed, ended) =
            tokio::join!(f.store.worker_renew(worker, HOUR, HOUR), f.store.workers_end_expired());
        let (renewed, ended) = (renewed.unwrap() != Renewal::Over, ended.unwrap().contains(&worker));
        assert!(!(renewed && ended), "round {round}");
        assert_eq!(f.store.worker_get(worker).await.unwrap().unwrap().alive, renewed);
        // One that neither saw in time has expired since, and is ended by the next look.
        assert_eq!(f.store.workers_end_expired().await.unwrap().contains(&worker), !renewed && !ended);
        seen[usize::from(renewed)] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "the race was no race: {seen:?}");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_worker_shows_its_busy_slots_and_its_draining(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let worker = f.worker().await;
    let attempt = f.claim(worker, f.submit(json!({})).await).await;
    f.store.worker_drain(worker).await.unwrap();
    let row = f.store.worker_get(worker).await.unwrap().unwrap();
    assert_eq!((row.slots, row.busy_slots, row.draining, row.alive), (2, 1, true, true));
    assert_eq!(f.store.tasks_of_worker(f.owner, worker).await.unwrap(), [attempt.task_id]);
    // Draining takes nothing new, but keeps what it has.
    assert_eq!(f.store.worker_renew(worker, HOUR, HOUR).await.unwrap(), Renewal::Held(None));
    assert!(f.store.attempts_lost(10).await.unwrap().is_empty());
}

#[sqlx::test(migrations = "../migrations")]
async fn what_an_ended_worker_held_is_found_as_lost(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let worker = f.worker().await;
    let attempt = f.claim(worker, f.submit(json!({"maxRetries": 5})).await).await;
    f.run(f.submit(json!({})).await).await;
    f.store.worker_end(worker).await.unwrap();
    let lost = f.store.attempts_lost(10).await.unwrap();
    assert_eq!(lost.len(), 1);
    assert_eq!((lost[0].task_id, lost[0].epoch, lost[0].worker_id), (attempt.task_id, attempt.epoch, worker));
    assert_eq!((lost[0].retry_count, lost[0].max_retries), (0, 5));
}

#[sqlx::test(migrations = "../migrations")]
async fn an_expired_worker_whose_row_is_locked_holds_nobody_up(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (locked, free) =
        (f.worker_with_lease(Duration::ZERO).await, f.worker_with_lease(Duration::ZERO).await);
    let mut other = f.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM workers WHERE id = $1 FOR UPDATE")
        .bind(locked)
        .execute(&mut *other)
        .await
        .unwrap();
    assert_eq!(f.store.workers_end_expired().await.unwrap(), [free]);
    other.rollback().await.unwrap();
    assert_eq!(f.store.workers_end_expired().await.unwrap(), [locked]);
}
