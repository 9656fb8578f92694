//! How much there is to do, for owners and operators.

use makima_shared::domain::Overview;
use serde_json::json;
use sqlx::PgPool;

use crate::stage::{Stage, submission};

const OVERVIEW: &str = "/api/v1/mesh/overview";

async fn overview(stage: &Stage) -> Overview {
    let answer = stage.get(OVERVIEW).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// Two owners: the first has a running, a queued and a failed task, the second a queued one of another priority.
async fn two_owners(pool: PgPool) -> Stage {
    let mut stage = Stage::new(pool).await;
    let worker = stage.worker("bee").await;
    let running = stage.submit(&submission("first runs")).await;
    let epoch = stage.start(worker, running).await;
    stage.write(running, epoch, &["a line".to_owned()]).await;
    stage.submit(&submission("first waits")).await;
    let first = stage.key.clone();
    stage.key = stage.strangers_key().await;
    let mut urgent = submission("second waits");
    urgent["priority"] = json!(90);
    stage.submit(&urgent).await;
    stage.key = first;
    stage
}

#[sqlx::test(migrations = "../migrations")]
async fn an_owner_sees_its_own_tasks_and_of_the_others_numbers_alone(pool: PgPool) {
    let mut stage = two_owners(pool).await;
    let own = overview(&stage).await;
    let depths: Vec<_> = own.queue.iter().map(|queue| (queue.priority, queue.depth)).collect();
    assert_eq!(depths, [(90, 1), (50, 1)]);
    assert_eq!((own.own.name.as_str(), own.own.queued, own.own.running), ("first", 1, 1));
    assert_eq!(own.owners, std::slice::from_ref(&own.own));
    assert_eq!(own.active_owners, None);
    assert_eq!((own.fleet.workers, own.fleet.slots, own.fleet.slots_busy), (1, 4, 1));
    let [task] = &own.running_tasks[..] else { panic!("{:?}", own.running_tasks) };
    assert_eq!((task.name.as_str(), task.worker_name.as_str()), ("first runs", "bee"));
    assert_eq!((task.epoch.number(), task.short_id.len()), (1, 8));
    assert!(task.last_event_age_secs < 60.0 && task.since <= own.at);

    stage.key = stage.strangers_key().await;
    let theirs = stage.get(OVERVIEW).await;
    assert!(!theirs.text().contains("first"), "{}", theirs.text());
    assert_eq!(theirs.json()["runningTasks"], json!([]));
    assert_eq!(theirs.json()["own"]["name"], "second");
}

#[sqlx::test(migrations = "../migrations")]
async fn an_operator_sees_every_owner_and_no_tasks_of_others(pool: PgPool) {
    let mut stage = two_owners(pool).await;
    let third = stage.store.owner_ensure("third").await.unwrap();
    stage.key = stage.store.operator_key_create(third, "test").await.unwrap();
    let seen = overview(&stage).await;
    let owners: Vec<_> =
        seen.owners.iter().map(|owner| (owner.name.as_str(), owner.queued, owner.running)).collect();
    assert_eq!(owners, [("third", 0, 0), ("first", 1, 1), ("second", 1, 0)]);
    assert_eq!(seen.active_owners, Some(2));
    assert!(seen.running_tasks.is_empty());
    assert!(!stage.get(OVERVIEW).await.text().contains("first runs"));
}
