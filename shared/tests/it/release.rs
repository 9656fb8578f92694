//! Which tasks are released, blocked, or freed of their exclusions.

use std::collections::BTreeSet;
use std::time::Duration;

use makima_shared::domain::{EventKind, TaskId, TaskStatus, Transition};
use makima_shared::testing;
use serde_json::json;
use sqlx::PgPool;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, agent_failure, wide};

#[sqlx::test(migrations = "../migrations")]
async fn a_task_is_released_once_all_that_it_depends_on_is_done(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (one, two) = (f.submit(json!({})).await, f.submit(json!({})).await);
    let child = f.submit(json!({"dependsOn": [one, two], "priority": 80})).await;
    f.complete(f.run(one).await).await;
    assert!(f.release().await.is_empty());
    let last = f.run(two).await;
    assert!(f.release().await.is_empty());
    f.complete(last).await;
    let released = f.store.tasks_release(Some(&[two]), 10).await.unwrap();
    assert_eq!(released.iter().map(|task| (task.id, task.priority)).collect::<Vec<_>>(), [(child, 80)]);
    assert!(f.release().await.is_empty());
    f.assert_history_gives_status(child).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_release_for_parents_looks_at_their_children_alone(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (one, two) = (f.submit(json!({})).await, f.submit(json!({})).await);
    let of_one = f.submit(json!({"dependsOn": [one]})).await;
    let of_two = f.submit(json!({"dependsOn": [two]})).await;
    f.complete(f.run(one).await).await;
    f.complete(f.run(two).await).await;
    let released = f.store.tasks_release(Some(&[one]), 10).await.unwrap();
    assert_eq!(released.iter().map(|task| task.id).collect::<Vec<_>>(), [of_one]);
    assert!(f.store.tasks_release(Some(&[]), 10).await.unwrap().is_empty());
    assert_eq!(f.release().await, [of_two]);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_is_not_released_before_its_time(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({"runAt": "2999-01-01T00:00:00Z"})).await;
    assert!(f.release().await.is_empty());
    sqlx::query("UPDATE tasks SET not_before = now()").execute(&f.pool).await.unwrap();
    assert_eq!(f.release().await, [task]);
    assert_eq!(f.task(task).await.not_before, None);
}

#[sqlx::test(migrations = "../migrations")]
async fn each_task_is_released_once_whoever_releases_at_once(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let wide = wide(&f.pool);
    for _ in 0..5 {
        let parent = f.submit(json!({})).await;
        let mut children = BTreeSet::new();
        for _ in 0..30 {
            children.insert(f.submit(json!({"dependsOn": [parent]})).await);
        }
        f.complete(f.run(parent).await).await;
        let mut releases = JoinSet::new();
        for _ in 0..8 {
            let store = testing::store(&wide);
            releases.spawn(async move { store.tasks_release(None, 100).await.unwrap() });
        }
        let released: Vec<TaskId> =
            releases.join_all().await.into_iter().flatten().map(|task| task.id).collect();
        assert_eq!(released.len(), children.len());
        assert_eq!(released.into_iter().collect::<BTreeSet<_>>(), children);
        for child in children {
            f.assert_history_gives_status(child).await;
        }
    }
    wide.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_graph_below_a_failed_task_is_found_as_blocked_layer_by_layer(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (root, sound) = (f.submit(json!({"name": "root"})).await, f.submit(json!({})).await);
    let left = f.submit(json!({"dependsOn": [root, sound]})).await;
    let right = f.submit(json!({"dependsOn": [root]})).await;
    let bottom = f.submit(json!({"dependsOn": [left, right]})).await;
    f.submit(json!({"dependsOn": [sound]})).await;
    let mut failure = agent_failure();
    failure.permanent = true;
    f.fail(f.run(root).await, failure).await;
    let mut layers = Vec::new();
    loop {
        let blocked = f.store.tasks_blocked(10).await.unwrap();
        if blocked.is_empty() {
            break;
        }
        layers.push(blocked.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        for (task, message) in blocked {
            f.apply(task, &Transition::dependency_failed(message)).await;
        }
    }
    assert_eq!(layers, [vec![left, right], vec![bottom]]);
    let row = f.task(right).await;
    assert_eq!((row.status, row.status_code.as_deref()), (TaskStatus::Failed, Some("DEPENDENCY_FAILED")));
    let words = format!("it depends on {} (root), which is failed", root.short());
    assert_eq!(row.status_message, Some(words));
    assert!(f.store.attempts_list(f.owner, bottom).await.unwrap().is_empty());
    f.assert_history_gives_status(bottom).await;
}

/// A queued task that excludes `culprit`.
async fn excluding(f: &Fixture, culprit: makima_shared::domain::WorkerId) -> TaskId {
    let task = f.submit(json!({})).await;
    let mut failure = agent_failure();
    failure.exclude = Some(culprit);
    f.fail(f.claim(culprit, task).await, failure).await;
    assert_eq!(f.release().await, [task]);
    task
}

#[sqlx::test(migrations = "../migrations")]
async fn exclusions_give_way_when_every_live_worker_is_excluded_and_the_task_says_so(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (culprit, other) = (f.worker().await, f.worker().await);
    let task = excluding(&f, culprit).await;
    let relax = |grace_ms| f.store.tasks_relax_exclusions(grace_ms, 10);
    assert!(relax(0).await.unwrap().is_empty(), "another worker is there");
    f.store.worker_drain(other).await.unwrap();
    assert!(relax(3_600_000).await.unwrap().is_empty(), "the grace period is not over");
    let relaxed = relax(0).await.unwrap();
    assert_eq!(relaxed.iter().map(|task| task.id).collect::<Vec<_>>(), [task]);
    assert!(relaxed[0].excluded_worker_ids.is_empty());
    assert!(relax(0).await.unwrap().is_empty());
    let last = f.history(task).await.pop().unwrap();
    assert_eq!((last.kind, &last.data["code"]), (EventKind::Notice, &json!("EXCLUSION_LIFTED")));
    f.assert_history_gives_status(task).await;
    f.claim(culprit, task).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn exclusions_stay_while_no_worker_is_alive(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let culprit = f.worker().await;
    excluding(&f, culprit).await;
    f.store.worker_end(culprit).await.unwrap();
    assert!(f.store.tasks_relax_exclusions(0, 10).await.unwrap().is_empty());
}

#[sqlx::test(migrations = "../migrations")]
async fn queued_tasks_are_listed_by_page_and_age(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let mut tasks = Vec::new();
    for _ in 0..5 {
        tasks.push(f.submit(json!({})).await);
    }
    f.claim(f.worker().await, tasks[1]).await;
    let ids = |after, age, limit| {
        let store = f.store.clone();
        async move {
            let page = store.tasks_queued(after, age, limit).await.unwrap();
            page.into_iter().map(|task| task.id).collect::<Vec<_>>()
        }
    };
    assert_eq!(ids(None, 0, 3).await, [tasks[0], tasks[2], tasks[3]]);
    assert_eq!(ids(Some(tasks[3]), 0, 3).await, [tasks[4]]);
    let hour = i64::try_from(Duration::from_secs(3600).as_millis()).unwrap();
    assert!(ids(None, hour, 3).await.is_empty());
}
