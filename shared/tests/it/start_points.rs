//! Tasks that go on from another one's work.

use makima_shared::domain::{
    CheckpointTrigger, EventKind, NewCheckpoint, StartPoint, TaskId, TaskResult, Transition,
};
use makima_shared::store::{OpenAttempt, SubmitError};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::fixture::{Fixture, HOUR, accepted, checkpoint, new_task};

async fn save(f: &Fixture, attempt: OpenAttempt, tree: char) -> i32 {
    let new = NewCheckpoint { tree_id: tree.to_string().repeat(40), ..checkpoint(b"patch") };
    accepted(f.store.checkpoint_create(attempt.task_id, attempt.epoch, &new, HOUR).await.unwrap()).number
}

async fn refusal(f: &Fixture, body: Value) -> SubmitError {
    f.store.task_submit(f.owner, &new_task(&body), None).await.unwrap_err()
}

#[sqlx::test(migrations = "../migrations")]
async fn a_start_point_comes_with_the_claim_and_is_shown(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let source = f.run(f.submit(json!({})).await).await;
    save(&f, source, 'c').await;
    let (tree, files, globs) = ("c".repeat(40), ["a b.txt", "dir/"], ["*.log", "!x y"]);
    let body = json!({
        "continueFromTaskId": source.task_id, "checkpointSha": tree, "copyFiles": files, "keepIgnored": globs,
    });
    let task = f.submit(body).await;
    let shown = f.task(task).await;
    assert_eq!(
        (shown.continue_from_task_id, shown.checkpoint_sha.as_ref()),
        (Some(source.task_id), Some(&tree))
    );
    assert_eq!(
        (shown.copy_files, shown.keep_ignored.clone()),
        (files.map(str::to_owned).to_vec(), globs.map(str::to_owned).to_vec())
    );
    let claimed = f.store.tasks_claim(f.worker().await, &[task]).await.unwrap().remove(0);
    let start = StartPoint {
        task_id: Some(source.task_id),
        sha: Some(tree),
        copy_files: files.map(str::to_owned).to_vec(),
    };
    assert_eq!((claimed.start, claimed.keep_ignored), (start, shown.keep_ignored));
    let plain = f.submit(json!({})).await;
    let claimed = f.store.tasks_claim(f.worker().await, &[plain]).await.unwrap().remove(0);
    assert_eq!((claimed.start, claimed.keep_ignored.len()), (StartPoint::default(), 0));
}

#[sqlx::test(migrations = "../migrations")]
async fn only_an_own_task_of_the_same_repository_can_be_gone_on_from(pool: PgPool) {
    let f = Fixture::new(pool.clone()).await;
    let foreign = Fixture::new(pool).await.submit(json!({})).await;
    for stranger in [TaskId::new(), foreign] {
        let refused = refusal(&f, json!({"continueFromTaskId": stranger})).await;
        assert!(matches!(refused, SubmitError::SourceNotFound(id) if id == stranger), "{refused}");
    }
    let source = f.submit(json!({})).await;
    let elsewhere = json!({"continueFromTaskId": source, "repositoryUrl": "https://host/other.git"});
    let refused = refusal(&f, elsewhere).await;
    assert!(matches!(refused, SubmitError::SourceElsewhere(id) if id == source), "{refused}");
    let no_such_tree = json!({"continueFromTaskId": source, "checkpointSha": "d".repeat(40)});
    let refused = refusal(&f, no_such_tree).await;
    assert!(matches!(refused, SubmitError::SourceCheckpointNotFound(id) if id == source), "{refused}");
    // A commit is known to the repository alone.
    f.submit(json!({"checkpointSha": "d".repeat(40)})).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn what_a_source_has_saved_is_found_by_its_own_owner_alone(pool: PgPool) {
    let f = Fixture::new(pool.clone()).await;
    let source = f.run(f.submit(json!({})).await).await;
    let task = f.submit(json!({"continueFromTaskId": source.task_id})).await;
    let found = async || f.store.source_task(task, source.task_id).await.unwrap().unwrap();
    let patch = async |tree: Option<&str>, before| {
        let found = f.store.source_patch_before(task, source.task_id, tree, before).await.unwrap();
        found.map(|patch| patch.number)
    };
    assert_eq!((found().await.base_commit, found().await.has_checkpoints), (None, false));
    accepted(f.store.attempt_prepared(source, &"a".repeat(40), None).await.unwrap());
    for tree in ['b', 'c', 'b', 'd'] {
        save(&f, source, tree).await;
    }
    assert!(found().await.has_checkpoints && found().await.base_commit == Some("a".repeat(40)));
    assert_eq!(
        (patch(None, i32::MAX).await, patch(None, 4).await, patch(None, 1).await),
        (Some(4), Some(3), None)
    );
    let tree = "b".repeat(40);
    assert_eq!((patch(Some(&tree), i32::MAX).await, patch(Some(&tree), 3).await), (Some(3), Some(1)));
    assert_eq!(patch(Some(&"e".repeat(40)), i32::MAX).await, None);
    // A commit that is on no branch is to be had by nobody.
    let result = TaskResult { commit: Some("f".repeat(40)), ..TaskResult::default() };
    f.apply(source.task_id, &Transition::completed(source.epoch, result)).await;
    assert_eq!(found().await.pushed_commit, None);
    sqlx::query("UPDATE tasks SET result_branch = 'b' WHERE id = $1")
        .bind(source.task_id.uuid())
        .execute(&f.pool)
        .await
        .unwrap();
    assert_eq!(found().await.pushed_commit, Some("f".repeat(40)));
    let stranger = Fixture::new(pool).await.submit(json!({})).await;
    assert_eq!(f.store.source_task(stranger, source.task_id).await.unwrap(), None);
    assert!(f.store.source_patch_before(stranger, source.task_id, None, i32::MAX).await.unwrap().is_none());
}

#[sqlx::test(migrations = "../migrations")]
async fn what_an_agent_says_about_a_checkpoint_stands_with_it(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let attempt = f.run(f.submit(json!({})).await).await;
    let asked = NewCheckpoint {
        trigger: CheckpointTrigger::Asked,
        message: Some("tests pass".to_owned()),
        ..checkpoint(b"patch")
    };
    let quiet = NewCheckpoint { trigger: CheckpointTrigger::Quiet, ..checkpoint(b"patch") };
    for new in [&asked, &quiet] {
        accepted(f.store.checkpoint_create(attempt.task_id, attempt.epoch, new, HOUR).await.unwrap());
    }
    let list = f.store.checkpoints_list(f.owner, attempt.task_id).await.unwrap().unwrap();
    let seen: Vec<_> = list.iter().rev().map(|saved| (saved.trigger, saved.message.as_deref())).collect();
    assert_eq!(seen, [(CheckpointTrigger::Asked, Some("tests pass")), (CheckpointTrigger::Quiet, None)]);
    let events =
        f.store.events_list(f.owner, attempt.task_id, 0, 100, Some(EventKind::Checkpoint)).await.unwrap();
    let messages: Vec<_> = events.unwrap().iter().map(|event| event.data.get("message").cloned()).collect();
    assert_eq!(messages, [Some(json!("tests pass")), None]);
}
