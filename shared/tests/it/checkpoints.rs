//! What of an attempt outlives its worker.

use makima_shared::domain::{EventKind, StoredCommits, TaskId};
use makima_shared::store::OpenAttempt;
use serde_json::json;
use sqlx::PgPool;
use std::time::Duration;

use crate::fixture::{Fixture, HOUR, accepted, agent_failure, checkpoint};

async fn save(f: &Fixture, attempt: OpenAttempt, patch: &[u8], keep: Duration) -> i32 {
    let stored = f.store.checkpoint_create(attempt.task_id, attempt.epoch, &checkpoint(patch), keep).await;
    accepted(stored.unwrap()).number
}

/// The numbers of the checkpoints whose patches are still there.
async fn kept(f: &Fixture, task: TaskId) -> Vec<i32> {
    let list = f.store.checkpoints_list(f.owner, task).await.unwrap().unwrap();
    list.iter().filter(|saved| saved.patch_bytes.is_some()).map(|saved| saved.number).rev().collect()
}

#[sqlx::test(migrations = "../migrations")]
async fn checkpoints_are_numbered_through_all_attempts(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({})).await;
    let first = f.run(task).await;
    assert_eq!(save(&f, first, b"one", HOUR).await, 1);
    assert_eq!(save(&f, first, b"three", HOUR).await, 2);
    f.fail(first, agent_failure()).await;
    f.release().await;
    let second = f.claim(f.worker().await, task).await;
    assert_eq!(save(&f, second, b"fourth", HOUR).await, 3);
    let list = f.store.checkpoints_list(f.owner, task).await.unwrap().unwrap();
    let seen: Vec<_> = list.iter().map(|c| (c.number, c.epoch.number(), c.patch_bytes)).collect();
    assert_eq!(seen, [(3, 2, Some(6)), (2, 1, Some(5)), (1, 1, Some(3))]);
    let last = f.store.checkpoint_last(f.owner, task).await.unwrap().unwrap();
    assert_eq!((last.number, last.lines_added, last.lines_removed, last.duration_ms), (3, 2, 3, 4));
    let events = f.store.events_list(f.owner, task, 0, 100, Some(EventKind::Checkpoint)).await.unwrap();
    let numbers: Vec<_> =
        events.unwrap().iter().map(|event| event.data["number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3]);
    f.assert_history_gives_status(task).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_bad_patch_gives_way_to_the_one_before_it(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let attempt = f.run(f.submit(json!({})).await).await;
    let before = |number| f.store.checkpoint_patch_before(attempt.task_id, number);
    assert!(before(i32::MAX).await.unwrap().is_none());
    for patch in [b"one", b"two", b"six"] {
        save(&f, attempt, patch, HOUR).await;
    }
    let newest = before(i32::MAX).await.unwrap().unwrap();
    assert_eq!((newest.number, newest.patch_gzip.as_slice(), newest.sha256), (3, &b"six"[..], vec![7; 32]));
    assert_eq!((newest.base_commit, newest.tree_id), ("a".repeat(40), "b".repeat(40)));
    assert_eq!(before(3).await.unwrap().unwrap().patch_gzip, b"two");
    assert!(before(1).await.unwrap().is_none());
    let one = f.store.checkpoint_patch(f.owner, attempt.task_id, 1).await.unwrap();
    assert_eq!(one.as_deref(), Some(&b"one"[..]));
    // A patch that has expired is passed over.
    sqlx::query("DELETE FROM checkpoint_patches WHERE number = 2").execute(&f.pool).await.unwrap();
    assert_eq!(before(3).await.unwrap().unwrap().number, 1);
}

#[sqlx::test(migrations = "../migrations")]
async fn commits_of_an_agent_are_stored_beside_its_patch(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let attempt = f.run(f.submit(json!({})).await).await;
    let refs = json!({"head": {"branch": "main"}, "branches": {"main": "c".repeat(40)}});
    let commits = StoredCommits { pack: b"PACK".to_vec(), refs: refs.clone(), sha256: vec![8; 32] };
    let mut with = checkpoint(b"one");
    with.commits = Some(commits);
    let (task, epoch) = (attempt.task_id, attempt.epoch);
    accepted(f.store.checkpoint_create(task, epoch, &with, HOUR).await.unwrap());
    let found = f.store.checkpoint_patch_before(task, i32::MAX).await.unwrap().unwrap();
    assert_eq!(found.patch_gzip, b"one");
    let found = found.commits.unwrap();
    assert_eq!((found.pack.as_slice(), found.refs, found.sha256), (&b"PACK"[..], refs, vec![8; 32]));
    save(&f, attempt, b"two", HOUR).await;
    assert!(f.store.checkpoint_patch_before(task, i32::MAX).await.unwrap().unwrap().commits.is_none());
}

#[sqlx::test(migrations = "../migrations")]
async fn pruning_never_takes_the_last_patch_of_a_task_that_may_still_run(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (task, fresh) = (f.submit(json!({})).await, f.submit(json!({})).await);
    let first = f.run(task).await;
    for _ in 0..3 {
        save(&f, first, b"old", Duration::ZERO).await;
    }
    let keeper = f.run(fresh).await;
    save(&f, keeper, b"new", HOUR).await;
    save(&f, keeper, b"new", HOUR).await;
    assert_eq!(f.store.checkpoint_patches_prune(1).await.unwrap(), 1);
    assert_eq!(f.store.checkpoint_patches_prune(100).await.unwrap(), 1);
    assert_eq!(f.store.checkpoint_patches_prune(100).await.unwrap(), 0);
    assert_eq!((kept(&f, task).await, kept(&f, fresh).await), (vec![3], vec![1, 2]));
    // Whatever the task does, short of ending.
    f.fail(first, agent_failure()).await;
    assert_eq!(f.store.checkpoint_patches_prune(100).await.unwrap(), 0);
    f.release().await;
    let second = f.run(task).await;
    assert_eq!(f.store.checkpoint_patches_prune(100).await.unwrap(), 0);
    f.complete(second).await;
    f.complete(keeper).await;
    assert_eq!(f.store.checkpoint_patches_prune(100).await.unwrap(), 1);
    assert_eq!((kept(&f, task).await, kept(&f, fresh).await), (vec![], vec![1, 2]));
    // What is told of the checkpoint stays.
    assert_eq!(f.store.checkpoint_last(f.owner, task).await.unwrap().unwrap().number, 3);
}
