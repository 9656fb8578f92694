//! What an owner may have, and what becomes of its tasks when that changes.

use makima_shared::domain::{OwnerChanges, OwnerSettings, TaskId, TaskStatus};
use serde_json::json;
use sqlx::PgPool;

use crate::fixture::Fixture;

async fn change(f: &Fixture, changes: OwnerChanges) -> OwnerSettings {
    let name = f.store.owner_name(f.owner).await.unwrap().unwrap();
    f.store.owner_change(&name, &changes).await.unwrap().unwrap()
}

async fn limit(f: &Fixture, limit: Option<i32>) {
    change(f, OwnerChanges { max_running: Some(limit), ..OwnerChanges::default() }).await;
}

async fn give(f: &Fixture) -> Vec<TaskId> {
    f.store.slots_give(f.owner).await.unwrap().iter().map(|task| task.id).collect()
}

async fn slot(f: &Fixture, task: TaskId) -> String {
    let slot = sqlx::query_scalar("SELECT slot::text FROM tasks WHERE id = $1").bind(task);
    slot.fetch_one(&f.pool).await.unwrap()
}

#[sqlx::test(migrations = "../migrations")]
async fn settings_are_listed_and_changed_one_by_one(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let set = change(
        &f,
        OwnerChanges {
            weight: Some(3),
            max_running_per_contract: Some(Some(2)),
            max_running_per_repository: Some(Some(1)),
            submissions_per_minute: Some(Some(60)),
            ..OwnerChanges::default()
        },
    )
    .await;
    assert_eq!((set.weight, set.max_running, set.max_running_per_contract), (3, None, Some(2)));
    let less =
        change(&f, OwnerChanges { max_running_per_contract: Some(None), ..OwnerChanges::default() }).await;
    assert_eq!(less, OwnerSettings { max_running_per_contract: None, ..set });
    assert_eq!(f.store.owners_list().await.unwrap(), [less]);
    let nobody = f.store.owner_change("nobody", &OwnerChanges::default()).await.unwrap();
    assert!(nobody.is_none());
    let key = f.store.api_key_create(f.owner, "k").await.unwrap();
    let caller = f.store.api_key_authenticate(&key).await.unwrap().unwrap();
    assert_eq!(caller.submissions_per_minute, Some(60));
}

#[sqlx::test(migrations = "../migrations")]
async fn the_first_limit_counts_what_is_released_already(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (running, queued) = (f.submit(json!({})).await, f.submit(json!({})).await);
    let attempt = f.run(running).await;
    let later = f.submit(json!({"runAt": "2999-01-01T00:00:00Z"})).await;
    let ended = f.submit(json!({})).await;
    f.complete(f.run(ended).await).await;
    limit(&f, Some(2)).await;
    assert_eq!((slot(&f, running).await, slot(&f, queued).await), ("held".to_owned(), "held".to_owned()));
    assert_eq!((slot(&f, later).await, slot(&f, ended).await), ("none".to_owned(), "none".to_owned()));
    let next = f.submit(json!({})).await;
    assert!(give(&f).await.is_empty());
    f.complete(attempt).await;
    assert_eq!(give(&f).await, [next]);
    limit(&f, Some(3)).await;
    let more = f.submit(json!({})).await;
    assert_eq!(give(&f).await, [more]);
}

#[sqlx::test(migrations = "../migrations")]
async fn without_limits_what_waited_for_a_slot_is_free(pool: PgPool) {
    let f = Fixture::new(pool).await;
    limit(&f, Some(1)).await;
    let (first, second) = (f.submit(json!({})).await, f.submit(json!({})).await);
    let later = f.submit(json!({"runAt": "2999-01-01T00:00:00Z"})).await;
    let retried = f.submit(json!({"dependsOn": [first]})).await;
    assert_eq!(give(&f).await, [first]);
    limit(&f, None).await;
    assert_eq!(f.release().await, [second]);
    for task in [first, second, later, retried] {
        assert_eq!(slot(&f, task).await, "none");
        f.assert_history_gives_status(task).await;
    }
    assert_eq!((f.status(later).await, f.status(retried).await), (TaskStatus::Pending, TaskStatus::Pending));
    assert_eq!(f.complete_all(&[f.run(first).await]).await, [retried]);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_change_that_is_no_limit_on_running_tasks_touches_none(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({})).await;
    let before = f.rows(task).await;
    let rate =
        OwnerChanges { submissions_per_minute: Some(Some(1)), weight: Some(9), ..OwnerChanges::default() };
    change(&f, rate).await;
    assert_eq!(f.rows(task).await, before);
    assert_eq!(f.queued().await[0].owner_weight, 9);
}
