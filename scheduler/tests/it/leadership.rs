//! Two schedulers: one leads, and the other takes over.

use std::time::Duration;

use makima_shared::config::SchedulerConfig;
use makima_shared::domain::TaskStatus;
use sqlx::PgPool;
use uuid::Uuid;

use crate::fixture::{EAGER, Fixture, Scheduler};

/// Starts two schedulers and tells them apart: the leader first.
async fn pair(f: &Fixture, config: &SchedulerConfig) -> (Scheduler, Scheduler) {
    let leading = f.schedule(config);
    f.until_led().await;
    (leading, f.schedule(config))
}

#[sqlx::test(migrations = "../migrations")]
async fn one_of_two_leads_for_as_long_as_it_runs(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let config = SchedulerConfig { lease: Duration::from_secs(3), ..EAGER };
    let (leading, standing_by) = pair(&f, &config).await;
    let leader = f.leader().await;
    // Longer than a lease: it is renewed three times in its length, and each renewal is told.
    let mut renewals = f.moves().await;
    for _ in 0..4 {
        renewals.recv().await.unwrap();
        assert_eq!(f.leader().await, leader);
    }
    standing_by.stop().await;
    assert_eq!(f.leader().await, leader);
    leading.stop().await;
    assert_eq!(f.leader().await, None);
}

#[sqlx::test(migrations = "../migrations")]
async fn after_an_orderly_stop_the_other_one_leads_and_releases(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (leading, standing_by) = pair(&f, &EAGER).await;
    let first = f.leader().await;
    leading.stop().await;
    // The lead was given up, not left to run out: whoever has it now is another one.
    assert_ne!(f.leader().await, first);
    let task = f.submit_due("task").await;
    f.until(task, TaskStatus::Queued).await;
    assert_ne!(f.leader().await, first);
    standing_by.stop().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn nobody_leads_before_the_lease_of_a_dead_leader_is_over(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let dead = Uuid::now_v7();
    assert!(f.store.leader_acquire("scheduler", dead, EAGER.lease).await.unwrap().is_some());
    let until = sqlx::query_scalar("SELECT expires_at::text FROM leader_leases");
    let until: String = until.fetch_one(&f.pool).await.unwrap();
    let task = f.submit_due("task").await;
    let scheduler = f.schedule(&EAGER);
    f.until(task, TaskStatus::Queued).await;
    assert_ne!(f.leader().await, Some(dead));
    let after = sqlx::query_scalar("SELECT queued_at > $2::timestamptz FROM tasks WHERE id = $1");
    let after: bool = after.bind(task).bind(until).fetch_one(&f.pool).await.unwrap();
    assert!(after, "the task was released under a lead that was somebody else's");
    scheduler.stop().await;
}

/// The lead is taken away while the leader still believes in it, as by a frozen process.
#[sqlx::test(migrations = "../migrations")]
async fn a_leader_that_lost_its_lead_steps_down_and_stands_again(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let scheduler = f.schedule(&EAGER);
    let leader = f.until_led().await;
    let usurper = Uuid::now_v7();
    let usurp = sqlx::query("UPDATE leader_leases SET holder = $1, expires_at = now() + interval '1 second'");
    usurp.bind(usurper).execute(&f.pool).await.unwrap();
    f.until_led_by(leader).await;
    scheduler.stop().await;
    assert_eq!(f.leader().await, None);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_scheduler_stops_while_redis_is_away(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let scheduler = f.schedule_over(&EAGER, f.queue_without_redis());
    f.until_led().await;
    scheduler.stop().await;
    assert_eq!(f.leader().await, None);
}
