//! Deleting a task, and what is left of it: nothing.

use makima_shared::domain::{EventKind, Failure, TaskId, TaskStatus};
use makima_shared::store::{DeleteError, Submitted};
use makima_shared::testing;
use serde_json::json;
use sqlx::PgPool;

use crate::fence::assert_closed;
use crate::fixture::{Fixture, HOUR, accepted, agent_failure, checkpoint, created, new_task, wide};

async fn delete(f: &Fixture, task: TaskId) {
    f.store.task_delete(f.owner, task).await.unwrap();
}

/// Counts the rows of every table that belong to a task.
async fn rows_of(f: &Fixture, task: TaskId) -> i64 {
    let count = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM tasks WHERE id = $1) + (SELECT count(*) FROM attempts WHERE task_id = $1)
              + (SELECT count(*) FROM task_events WHERE task_id = $1)
              + (SELECT count(*) FROM task_checkpoints WHERE task_id = $1)
              + (SELECT count(*) FROM checkpoint_patches WHERE task_id = $1)
              + (SELECT count(*) FROM task_dependencies WHERE $1 IN (task_id, depends_on_task_id))
              + (SELECT count(*) FROM idempotency_keys WHERE task_id = $1)",
    );
    count.bind(task).fetch_one(&f.pool).await.unwrap()
}

#[sqlx::test(migrations = "../migrations")]
async fn a_running_task_goes_with_all_that_belongs_to_it_and_its_attempt_is_stale(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let parent = f.submit(json!({})).await;
    f.complete(f.run(parent).await).await;
    let body = new_task(&json!({"dependsOn": [parent]}));
    let task = created(f.store.task_submit(f.owner, &body, Some("k")).await.unwrap()).id;
    let part = f.submit(json!({"parentTaskId": task})).await;
    let attempt = f.run(task).await;
    f.output(attempt).await;
    accepted(f.store.checkpoint_create(task, attempt.epoch, &checkpoint(b"x"), HOUR).await.unwrap());
    let worker = f.task(task).await.worker_id;

    let deleted = f.store.task_delete(f.owner, task).await.unwrap();
    assert_eq!((deleted.held_by, deleted.epoch), (worker, attempt.epoch));
    assert_eq!(rows_of(&f, task).await, 0);
    assert_closed(&f, attempt).await;
    assert!(f.store.attempts_of_worker(worker.unwrap()).await.unwrap().is_empty());
    assert_eq!(
        f.store.checkpoint_patch_before(task, i32::MAX).await.unwrap().map(|patch| patch.number),
        None
    );
    let late = f.store.output_append(task, attempt.epoch, 0, &[json!({})]).await.unwrap();
    assert_eq!(late, makima_shared::store::Fenced::Stale);
    assert_eq!(f.task(part).await.parent_task_id, None);
    let again = f.store.task_delete(f.owner, task).await;
    assert!(matches!(again, Err(DeleteError::NotFound)));
    // The key went with its task, so the same request makes another one.
    created(f.store.task_submit(f.owner, &body, Some("k")).await.unwrap());
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_that_pending_ones_wait_for_stays(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let parent = f.submit(json!({})).await;
    let mut children = Vec::new();
    for _ in 0..7 {
        children.push(f.submit(json!({"dependsOn": [parent]})).await);
    }
    let attempt = f.run(parent).await;
    match f.store.task_delete(f.owner, parent).await {
        Err(DeleteError::HasDependents(named)) => {
            assert_eq!(named.iter().map(|task| task.id).collect::<Vec<_>>(), children[..5]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(f.status(parent).await, TaskStatus::Running);
    let stranger = Fixture::new(f.pool.clone()).await;
    let missing = f.store.task_delete(stranger.owner, parent).await;
    assert!(matches!(missing, Err(DeleteError::NotFound)));
    f.complete(attempt).await;
    delete(&f, parent).await;
    f.assert_dependencies_are_counted().await;
    for child in children {
        f.run(child).await;
        f.assert_history_gives_status(child).await;
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn what_waited_for_a_deleted_task_is_counted_out_on_both_ends(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (grandparent, root) = (f.submit(json!({})).await, f.submit(json!({})).await);
    f.fail(f.run(root).await, Failure { permanent: true, ..agent_failure() }).await;
    let child = f.submit(json!({"dependsOn": [root, grandparent]})).await;
    assert_eq!(f.fail_blocked().await, [child]);
    delete(&f, root).await;
    f.assert_dependencies_are_counted().await;
    // The one that stood in its way is gone: it waits for the other one alone.
    f.start(child).await;
    assert_eq!(f.complete_all(&[f.run(grandparent).await]).await, [child]);
    let last = f.submit(json!({"dependsOn": [child]})).await;
    delete(&f, last).await;
    f.assert_dependencies_are_counted().await;
    let open: i32 = sqlx::query_scalar("SELECT open_children FROM tasks WHERE id = $1")
        .bind(child)
        .fetch_one(&f.pool)
        .await
        .unwrap();
    assert_eq!(open, 0);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_bulk_request_is_known_after_one_of_its_tasks_is_gone(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let tasks = [new_task(&json!({})), new_task(&json!({"name": "other"}))];
    let Submitted::Created(made) = f.store.tasks_submit(f.owner, &tasks, Some("k")).await.unwrap() else {
        panic!("not made")
    };
    delete(&f, made[0].id).await;
    let again = f.store.tasks_submit(f.owner, &tasks, Some("k")).await.unwrap();
    assert!(matches!(again, Submitted::Repeated(ids) if ids == [made[0].id, made[1].id]));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_with_many_events_leaves_them_to_be_deleted_bit_by_bit(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let attempt = f.run(f.submit(json!({})).await).await;
    let lines = vec![json!({"stream": "stdout", "text": "x"}); 6_000];
    accepted(f.store.events_append(attempt.task_id, attempt.epoch, EventKind::Output, &lines).await.unwrap());
    f.complete(attempt).await;
    let kept = f.run(f.submit(json!({})).await).await;
    f.output(kept).await;
    delete(&f, attempt.task_id).await;
    assert!(f.store.events_list(f.owner, attempt.task_id, 0, 10, None).await.unwrap().is_none());
    assert_eq!(rows_of(&f, attempt.task_id).await, 6_004);
    let mut rounds = Vec::new();
    while let Some(count) = f.store.deleted_events_prune(4_000).await.unwrap() {
        rounds.push(count);
    }
    assert_eq!(rounds, [4_000, 2_004]);
    assert_eq!(rows_of(&f, attempt.task_id).await, 0);
    assert_eq!(f.history(kept.task_id).await.len(), 4);
}

/// A child comes in, or the task ends, in the moment in which the task is deleted.
#[sqlx::test(migrations = "../migrations")]
async fn whatever_happens_at_once_a_deleted_task_leaves_no_child_waiting(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let wide = wide(&f.pool);
    for round in 0..40 {
        let attempt = f.run(f.submit(json!({})).await).await;
        let task = attempt.task_id;
        let (store, owner) = (testing::store(&wide), f.owner);
        let child = tokio::spawn(async move {
            for _ in 0..round % 5 {
                tokio::task::yield_now().await;
            }
            store
                .task_submit(owner, &new_task(&json!({"dependsOn": [task], "parentTaskId": task})), None)
                .await
        });
        let deleted = f.store.task_delete(f.owner, task).await;
        match (deleted, child.await.unwrap()) {
            (Ok(_), Err(_refused)) => assert_eq!(rows_of(&f, task).await, 0),
            (Err(DeleteError::HasDependents(_)), Ok(child)) => {
                assert_eq!(f.complete_all(&[attempt]).await, [created(child).id]);
            }
            other => panic!("round {round}: {other:?}"),
        }
    }
    f.assert_dependencies_are_counted().await;
    wide.close().await;
}
