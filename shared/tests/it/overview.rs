//! How much there is to do, counted.

use makima_shared::domain::{FleetSize, QueueLoad, RecentEnds, TaskStatus, Transition};
use makima_shared::store::Store;
use serde_json::json;
use sqlx::PgPool;

use crate::fixture::{AT_ONCE, Fixture, agent_failure, moved};

#[sqlx::test(migrations = "../migrations")]
async fn live_tasks_are_counted_by_owner_and_queued_ones_by_priority(pool: PgPool) {
    let f = Fixture::new(pool.clone()).await;
    let other = Fixture::new(pool.clone()).await;
    let worker = f.worker().await;
    let parent = f.submit(json!({})).await;
    f.submit(json!({"dependsOn": [parent]})).await;
    f.claim(worker, parent).await;
    f.run(f.submit(json!({})).await).await;
    for priority in [10, 90, 90] {
        other.submit(json!({"priority": priority})).await;
    }
    sqlx::query("UPDATE tasks SET queued_at = now() - interval '90 seconds' WHERE priority = 10")
        .execute(&pool)
        .await
        .unwrap();
    let load = f.store.fleet_load().await.unwrap();
    let queue: Vec<_> =
        load.queue.iter().map(|QueueLoad { priority, depth, .. }| (*priority, *depth)).collect();
    assert_eq!(queue, [(90, 2), (10, 1)]);
    assert!((90.0..200.0).contains(&load.queue[1].oldest_age_secs), "{load:?}");
    let own = &load.owners[&f.owner];
    assert_eq!((own.pending, own.queued, own.starting, own.running), (1, 0, 1, 1));
    assert_eq!(load.owners[&other.owner].queued, 3);
    assert_eq!(TaskStatus::ALL.map(|status| load.tasks(status)), [1, 3, 1, 1, 0, 0, 0, 0, 0, 0]);
}

#[sqlx::test(migrations = "../migrations")]
async fn held_tasks_are_listed_for_their_owner_with_their_last_sign_of_life(pool: PgPool) {
    let f = Fixture::new(pool.clone()).await;
    let other = Fixture::new(pool.clone()).await;
    let worker = f.worker().await;
    let attempt = f.claim(worker, f.submit(json!({"name": "mine"})).await).await;
    other.claim(worker, other.submit(json!({"name": "theirs"})).await).await;
    f.submit(json!({})).await;
    let age = "UPDATE task_events SET created_at = now() - interval '70 seconds' WHERE task_id = $1 AND sequence = 2";
    sqlx::query(age).bind(attempt.task_id).execute(&pool).await.unwrap();
    let running = f.store.tasks_running(f.owner).await.unwrap();
    assert_eq!(running.len(), 1);
    let task = &running[0];
    assert_eq!((task.id, task.epoch, task.worker_id), (attempt.task_id, attempt.epoch, worker));
    assert_eq!((task.name.as_str(), task.status), ("mine", TaskStatus::Starting));
    assert!((70.0..200.0).contains(&task.last_event_age_secs), "{task:?}");
}

#[sqlx::test(migrations = "../migrations")]
async fn the_ends_of_the_newest_tasks_are_counted(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (worker, store): (_, &Store) = (f.worker().await, &f.store);
    for ending in ["failed", "cancelled", "none"] {
        let attempt = f.claim(worker, f.submit(json!({"maxRetries": 0})).await).await;
        let transition = match ending {
            "failed" => Transition::attempt_failed(attempt.epoch, agent_failure(), 0, 0, &AT_ONCE),
            "cancelled" => Transition::cancelled(),
            _ => Transition::started(attempt.epoch),
        };
        moved(store.task_transition(attempt.task_id, &transition).await.unwrap());
    }
    let ends = store.tasks_recent_ends(f.owner).await.unwrap();
    assert_eq!(ends, RecentEnds { looked_at: 3, done: 0, failed: 1, cancelled: 1 });
}

#[sqlx::test(migrations = "../migrations")]
async fn the_fleet_is_its_live_workers_and_a_worker_tells_what_it_did(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (live, ended) = (f.worker().await, f.worker().await);
    f.worker_with_lease(std::time::Duration::ZERO).await;
    f.claim(live, f.submit(json!({})).await).await;
    f.store.worker_end(ended).await.unwrap();
    assert_eq!(f.store.fleet_size().await.unwrap(), FleetSize { workers: 1, slots: 2, slots_busy: 1 });
    f.store.worker_count(live, 7, 5).await.unwrap();
    let row = f.store.worker_get(live).await.unwrap().unwrap();
    assert_eq!((row.claimed_count, row.done_count), (7, 5));
}
