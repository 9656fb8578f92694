//! Invariant 12: another owner's rows answer like missing ones.

use makima_shared::domain::{OwnerId, TaskId, TaskStatus, Transition};
use makima_shared::store::{Applied, TaskFilter};
use serde_json::json;
use sqlx::PgPool;

use crate::fixture::{Fixture, HOUR, accepted, checkpoint, created, new_task};

/// What an owner can see of a task, through every function that takes an owner.
async fn seen(f: &Fixture, owner: OwnerId, task: TaskId) -> [bool; 10] {
    let store = &f.store;
    let worker = f.task(task).await.worker_id.unwrap();
    let page = store.tasks_list(owner, &TaskFilter::default(), 10).await.unwrap();
    [
        store.task_get(owner, task).await.unwrap().is_some(),
        store.task_status(owner, task).await.unwrap().is_some(),
        page.tasks.iter().any(|summary| summary.id == task),
        !store.task_dependencies(owner, task).await.unwrap().is_empty(),
        store.tasks_of_worker(owner, worker).await.unwrap().contains(&task),
        !store.attempts_list(owner, task).await.unwrap().is_empty(),
        store.events_list(owner, task, 0, 10, None).await.unwrap().is_some(),
        store.checkpoints_list(owner, task).await.unwrap().is_some(),
        store.checkpoint_last(owner, task).await.unwrap().is_some(),
        store.checkpoint_patch(owner, task, 1).await.unwrap().is_some(),
    ]
}

#[sqlx::test(migrations = "../migrations")]
async fn nothing_of_another_owner_is_read_or_moved(pool: PgPool) {
    let f = Fixture::new(pool.clone()).await;
    let stranger = Fixture::new(pool).await.owner;
    let parent = f.submit(json!({})).await;
    f.complete(f.run(parent).await).await;
    let task = f.submit(json!({"dependsOn": [parent]})).await;
    let attempt = f.run(task).await;
    accepted(f.store.checkpoint_create(task, attempt.epoch, &checkpoint(b"x"), HOUR).await.unwrap());
    assert_eq!(seen(&f, f.owner, task).await, [true; 10]);
    assert_eq!(seen(&f, stranger, task).await, [false; 10]);

    let before = f.rows(task).await;
    let refused = f.store.task_transition_by_owner(stranger, task, &Transition::cancelled()).await.unwrap();
    assert!(matches!(refused, Applied::Refused));
    assert_eq!(f.rows(task).await, before);
    let moved = f.store.task_transition_by_owner(f.owner, task, &Transition::cancelled()).await.unwrap();
    assert!(matches!(moved, Applied::Moved(_)));
}

#[sqlx::test(migrations = "../migrations")]
async fn an_idempotency_key_belongs_to_its_owner(pool: PgPool) {
    let (one, two) = (Fixture::new(pool.clone()).await, Fixture::new(pool).await);
    let first = created(one.store.task_submit(one.owner, &new_task(&json!({})), Some("k")).await.unwrap());
    let second = created(two.store.task_submit(two.owner, &new_task(&json!({})), Some("k")).await.unwrap());
    assert_ne!(first.id, second.id);
    assert!(two.store.task_get(two.owner, first.id).await.unwrap().is_none());
}

#[sqlx::test(migrations = "../migrations")]
async fn a_list_is_narrowed_and_paged_within_its_owner(pool: PgPool) {
    let (f, other) = (Fixture::new(pool.clone()).await, Fixture::new(pool).await);
    let mut own = Vec::new();
    for name in ["Alpha", "beta", "alphabet"] {
        own.push(f.submit(json!({"name": name})).await);
        other.submit(json!({"name": name})).await;
    }
    own.push(f.submit(json!({"name": "part", "parentTaskId": own[0]})).await);
    f.apply(own[1], &Transition::cancelled()).await;
    let none = TaskFilter::default();
    let status = Some(TaskStatus::Cancelled);
    let cases = [
        (none.clone(), vec![own[3], own[2], own[1], own[0]]),
        (TaskFilter { status, ..none.clone() }, vec![own[1]]),
        (TaskFilter { text: Some("ALPHA".to_owned()), ..none.clone() }, vec![own[2], own[0]]),
        (TaskFilter { parent_task_id: Some(own[0]), ..none.clone() }, vec![own[3]]),
        (TaskFilter { id_suffix: Some(own[2].short()), ..none.clone() }, vec![own[2]]),
        (TaskFilter { before: Some(own[2]), ..none.clone() }, vec![own[1], own[0]]),
    ];
    for (filter, expected) in cases {
        let page = f.store.tasks_list(f.owner, &filter, 4).await.unwrap();
        let ids: Vec<_> = page.tasks.iter().map(|task| task.id).collect();
        assert_eq!((ids, page.next), (expected, None), "{filter:?}");
    }
    let page = f.store.tasks_list(f.owner, &none, 3).await.unwrap();
    assert_eq!((page.tasks.len(), page.next), (3, Some(own[1])));
}
