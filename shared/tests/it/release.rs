//! Which tasks are released, blocked, or freed of their exclusions.

use std::collections::BTreeSet;
use std::time::Duration;

use makima_shared::domain::{EventKind, TaskId, TaskResult, TaskStatus, Transition};
use makima_shared::store::{Move, ReadyTask};
use makima_shared::testing;
use serde_json::json;
use sqlx::PgPool;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, agent_failure, wide};

#[sqlx::test(migrations = "../migrations")]
async fn a_task_is_released_with_the_end_of_the_last_one_that_it_depends_on(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (one, two) = (f.submit(json!({})).await, f.submit(json!({})).await);
    let child = f.submit(json!({"dependsOn": [one, two]})).await;
    let (one, two) = (f.run(one).await, f.run(two).await);
    assert!(f.complete_all(&[one]).await.is_empty());
    assert_eq!(f.status(child).await, TaskStatus::Pending);
    assert_eq!(f.complete_all(&[two]).await, [child]);
    assert_eq!(f.status(child).await, TaskStatus::Queued);
    assert!(f.release().await.is_empty(), "nothing is left for the scheduler");
    f.assert_history_gives_status(child).await;
    f.assert_dependencies_are_counted().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn parents_that_end_in_one_statement_release_their_child_once(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let mut attempts = Vec::new();
    for _ in 0..5 {
        attempts.push(f.run(f.submit(json!({})).await).await);
    }
    let parents: Vec<_> = attempts.iter().map(|attempt| attempt.task_id).collect();
    let child = f.submit(json!({"dependsOn": parents})).await;
    assert_eq!(f.complete_all(&attempts).await, [child]);
    f.assert_history_gives_status(child).await;
    f.assert_dependencies_are_counted().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_wide_fan_out_is_left_to_the_scheduler_and_released_in_batches(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let parent = f.submit(json!({})).await;
    let mut children = BTreeSet::new();
    for _ in 0..101 {
        children.insert(f.submit(json!({"dependsOn": [parent]})).await);
    }
    assert!(f.complete_all(&[f.run(parent).await]).await.is_empty());
    f.assert_dependencies_are_counted().await;
    let mut released = BTreeSet::new();
    loop {
        let settled = f.store.children_release(&[parent], 40).await.unwrap();
        released.extend(settled.released.iter().map(|task| task.id));
        if settled.edges == 0 {
            break;
        }
        assert!(settled.edges <= 40);
    }
    assert_eq!(released, children);
    assert_eq!(f.store.tasks_children_waiting(10).await.unwrap(), [parent]);
    assert_eq!(f.store.parents_settled(&[parent]).await.unwrap(), 1);
    assert!(f.store.tasks_children_waiting(10).await.unwrap().is_empty());
    f.assert_dependencies_are_counted().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn lanes_that_release_the_children_of_two_parents_at_once_release_each_once(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let wide_store = testing::store(&wide(&f.pool));
    let parents = [f.submit(json!({})).await, f.submit(json!({})).await];
    let mut children = BTreeSet::new();
    for _ in 0..120 {
        children.insert(f.submit(json!({"dependsOn": parents})).await);
    }
    let attempts = [f.run(parents[0]).await, f.run(parents[1]).await];
    assert!(f.complete_all(&attempts).await.is_empty());
    let mut lanes = JoinSet::new();
    for _ in 0..4 {
        let store = wide_store.clone();
        lanes.spawn(async move {
            let mut released = Vec::new();
            loop {
                let settled = store.children_release(&parents, 25).await.unwrap();
                released.extend(settled.released.iter().map(|task| task.id));
                if settled.edges < 25 {
                    return released;
                }
            }
        });
    }
    let mut released = lanes.join_all().await.concat();
    // What a lane skipped because another was at work on it is left to the next round.
    released.extend(f.release().await);
    assert_eq!(released.len(), children.len(), "each once");
    assert_eq!(released.into_iter().collect::<BTreeSet<_>>(), children);
    assert!(f.store.tasks_children_waiting(10).await.unwrap().is_empty());
    f.assert_dependencies_are_counted().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_child_whose_time_has_not_come_waits_for_it_after_its_parents(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let parent = f.submit(json!({})).await;
    let child = f.submit(json!({"dependsOn": [parent], "runAt": "2999-01-01T00:00:00Z"})).await;
    assert!(f.complete_all(&[f.run(parent).await]).await.is_empty());
    assert!(f.release().await.is_empty());
    sqlx::query("UPDATE tasks SET not_before = now() WHERE id = $1")
        .bind(child.uuid())
        .execute(&f.pool)
        .await
        .unwrap();
    assert_eq!(f.release().await, [child]);
}

/// What an older version leaves: no counts and no marks.
#[sqlx::test(migrations = "../migrations")]
async fn what_the_version_before_wrote_is_counted_and_marked(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (done, open) = (f.submit(json!({})).await, f.submit(json!({})).await);
    let free = f.submit(json!({"dependsOn": [done]})).await;
    let kept = f.submit(json!({"dependsOn": [done, open]})).await;
    f.complete(f.run(done).await).await;
    sqlx::raw_sql(
        "UPDATE tasks SET undone_parents = NULL, children_waiting = false;
         UPDATE tasks SET status = 'pending', queued_at = NULL, not_before = NULL, last_sequence = 1 WHERE status = 'queued'
             AND id IN (SELECT task_id FROM task_dependencies);
         DELETE FROM task_events e USING tasks t WHERE t.id = e.task_id AND t.status = 'pending' AND e.sequence > 1;
         UPDATE task_dependencies SET satisfied = false;",
    )
    .execute(&f.pool)
    .await
    .unwrap();
    assert!(f.release().await.is_empty());
    assert!(f.store.dependencies_recount(100).await.unwrap() > 0);
    assert_eq!(f.release().await, [free]);
    assert_eq!(f.status(kept).await, TaskStatus::Pending);
    assert_eq!(f.complete_all(&[f.run(open).await]).await, [kept]);
    for task in [free, kept] {
        f.assert_history_gives_status(task).await;
    }
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
async fn each_task_is_released_once_whoever_ends_and_releases_at_once(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let wide = wide(&f.pool);
    let wide_store = testing::store(&wide);
    for _ in 0..5 {
        let mut attempts = Vec::new();
        for _ in 0..6 {
            attempts.push(f.run(f.submit(json!({})).await).await);
        }
        let parents: Vec<_> = attempts.iter().map(|attempt| attempt.task_id).collect();
        let mut children = BTreeSet::new();
        for _ in 0..30 {
            children.insert(f.submit(json!({"dependsOn": parents})).await);
        }
        let mut ends = JoinSet::new();
        for attempt in attempts {
            let (store, parents) = (wide_store.clone(), parents.clone());
            ends.spawn(async move {
                let transition = Transition::completed(attempt.epoch, TaskResult::default());
                let moves = [Move { task: attempt.task_id, transition }];
                let mut released = store.tasks_transition(&moves).await.unwrap().released;
                released.extend(store.children_release(&parents, 100).await.unwrap().released);
                released
            });
        }
        let released: Vec<TaskId> = ends.join_all().await.into_iter().flatten().map(|task| task.id).collect();
        assert_eq!(released.len(), children.len());
        assert_eq!(released.into_iter().collect::<BTreeSet<_>>(), children);
        for child in children {
            f.assert_history_gives_status(child).await;
        }
        f.assert_dependencies_are_counted().await;
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
        let blocked = f.fail_blocked().await;
        if blocked.is_empty() {
            break;
        }
        layers.push(blocked);
    }
    assert!(f.store.tasks_children_waiting(10).await.unwrap().is_empty());
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
    let begin = (chrono::DateTime::UNIX_EPOCH, TaskId::from(uuid::Uuid::nil()));
    let page = f.store.tasks_queued(begin, 0, 3).await.unwrap();
    let ids = |page: &[ReadyTask]| page.iter().map(|task| task.id).collect::<Vec<_>>();
    assert_eq!(ids(&page), [tasks[0], tasks[2], tasks[3]]);
    let after = (page[2].queued_at, page[2].id);
    assert_eq!(ids(&f.store.tasks_queued(after, 0, 3).await.unwrap()), [tasks[4]]);
    let hour = i64::try_from(Duration::from_secs(3600).as_millis()).unwrap();
    assert!(f.store.tasks_queued(begin, hour, 3).await.unwrap().is_empty());
}
