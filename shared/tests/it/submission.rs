//! How tasks come in.

use chrono::{Duration, Utc};
use makima_shared::domain::{TaskId, TaskStatus, Transition};
use makima_shared::store::{SubmitError, Submitted};
use makima_shared::testing;
use serde_json::json;
use sqlx::PgPool;
use tokio::task::{JoinSet, yield_now};

use crate::fixture::{Fixture, created, new_task, wide};

#[sqlx::test(migrations = "../migrations")]
async fn a_task_that_nothing_keeps_is_queued_at_once(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let accepted = created(f.store.task_submit(f.owner, &new_task(&json!({})), None).await.unwrap());
    assert_eq!(accepted.ready.map(|ready| ready.id), Some(accepted.id));
    let task = f.task(accepted.id).await;
    assert_eq!((task.status, task.epoch.number(), task.last_sequence), (TaskStatus::Queued, 0, 1));
    assert_eq!((task.priority, task.max_retries, task.checkpoint_interval_secs), (50, 3, 30));
    let past = f.submit(json!({"runAt": Utc::now() - Duration::hours(1)})).await;
    assert_eq!(f.status(past).await, TaskStatus::Queued);
    f.assert_history_gives_status(past).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_waits_for_its_dependencies_and_for_its_time(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let parent = f.submit(json!({})).await;
    let child = f.submit(json!({"dependsOn": [parent]})).await;
    let later = f.submit(json!({"runAt": Utc::now() + Duration::hours(1)})).await;
    for waiting in [child, later] {
        assert_eq!(f.status(waiting).await, TaskStatus::Pending);
        f.assert_history_gives_status(waiting).await;
    }
    let parents = f.store.task_dependencies(f.owner, child).await.unwrap();
    assert_eq!(parents.iter().map(|p| (p.id, p.status)).collect::<Vec<_>>(), [(parent, TaskStatus::Queued)]);
    assert!(f.release().await.is_empty());
}

#[sqlx::test(migrations = "../migrations")]
async fn a_dependency_that_is_done_already_keeps_nothing(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (done, open) = (f.submit(json!({})).await, f.submit(json!({})).await);
    f.complete(f.run(done).await).await;
    let free = f.submit(json!({"dependsOn": [done, done]})).await;
    assert_eq!(f.status(free).await, TaskStatus::Queued);
    let kept = f.submit(json!({"dependsOn": [done, open]})).await;
    assert_eq!(f.status(kept).await, TaskStatus::Pending);
}

#[sqlx::test(migrations = "../migrations")]
async fn unknown_tasks_and_those_of_another_owner_cannot_be_depended_on(pool: PgPool) {
    let f = Fixture::new(pool.clone()).await;
    let foreign = Fixture::new(pool.clone()).await.submit(json!({})).await;
    let own = f.submit(json!({})).await;
    for stranger in [TaskId::new(), foreign] {
        let body = new_task(&json!({"dependsOn": [own, stranger]}));
        let refused = f.store.task_submit(f.owner, &body, Some("key")).await;
        assert!(matches!(refused, Err(SubmitError::DependencyNotFound(id)) if id == stranger));
        let body = new_task(&json!({"parentTaskId": stranger}));
        let refused = f.store.task_submit(f.owner, &body, None).await;
        assert!(matches!(refused, Err(SubmitError::ParentNotFound(id)) if id == stranger));
    }
    // A refused submission leaves nothing behind, not even its key.
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM tasks").fetch_one(&pool).await.unwrap();
    assert_eq!(count, 2);
    created(f.store.task_submit(f.owner, &new_task(&json!({})), Some("key")).await.unwrap());
}

#[sqlx::test(migrations = "../migrations")]
async fn an_idempotency_key_gives_the_same_task_for_the_same_body_alone(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let body = new_task(&json!({"env": {"A": "1", "B": "2"}}));
    let first = created(f.store.task_submit(f.owner, &body, Some("k")).await.unwrap());
    let again = new_task(&json!({"env": {"B": "2", "A": "1"}}));
    match f.store.task_submit(f.owner, &again, Some("k")).await.unwrap() {
        Submitted::Repeated(tasks) => assert_eq!(tasks, [first.id]),
        Submitted::Created(tasks) => panic!("made {tasks:?} beside {}", first.id),
    }
    let other = f.store.task_submit(f.owner, &new_task(&json!({"plan": "else"})), Some("k")).await;
    assert!(matches!(other, Err(SubmitError::IdempotencyMismatch)));
    created(f.store.task_submit(f.owner, &body, Some("another key")).await.unwrap());
    created(f.store.task_submit(f.owner, &body, None).await.unwrap());
}

#[sqlx::test(migrations = "../migrations")]
async fn twenty_submissions_with_one_key_at_once_make_one_task(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let wide = wide(&f.pool);
    let wide_store = testing::store(&wide);
    for round in 0..5 {
        let mut submissions = JoinSet::new();
        for _ in 0..20 {
            let (store, owner, key) = (wide_store.clone(), f.owner, format!("k{round}"));
            submissions.spawn(async move {
                match store.task_submit(owner, &new_task(&json!({})), Some(&key)).await.unwrap() {
                    Submitted::Created(tasks) => (true, tasks[0].id),
                    Submitted::Repeated(tasks) => (false, tasks[0]),
                }
            });
        }
        let answers = submissions.join_all().await;
        assert_eq!(answers.iter().filter(|(new, _)| *new).count(), 1);
        assert!(answers.iter().all(|(_, id)| *id == answers[0].1), "{answers:?}");
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM tasks").fetch_one(&f.pool).await.unwrap();
    assert_eq!(count, 5);
    wide.close().await;
}

/// The worker completes the parent; nobody sweeps.
#[sqlx::test(migrations = "../migrations")]
async fn a_parent_that_ends_while_its_child_comes_in_leaves_no_child_behind(pool: PgPool) {
    let f = Fixture::new(pool).await;
    for round in 0..100 {
        let attempt = f.run(f.submit(json!({})).await).await;
        let finish = async {
            for _ in 0..round % 7 {
                yield_now().await;
            }
            f.complete_all(&[attempt]).await;
            f.release().await
        };
        let submit = async {
            for _ in 0..round % 5 {
                yield_now().await;
            }
            f.submit(json!({"dependsOn": [attempt.task_id]})).await
        };
        let (_released, child) = tokio::join!(finish, submit);
        assert_eq!(f.status(child).await, TaskStatus::Queued, "round {round}");
        f.assert_history_gives_status(child).await;
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_child_of_a_task_that_can_no_longer_be_done_is_found_as_blocked(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let parent = f.submit(json!({})).await;
    f.apply(parent, &Transition::cancelled()).await;
    let child = f.submit(json!({"dependsOn": [parent]})).await;
    assert_eq!(f.status(child).await, TaskStatus::Pending);
    assert_eq!(f.fail_blocked().await, [child]);
    assert!(f.store.tasks_children_waiting(10).await.unwrap().is_empty());
}
