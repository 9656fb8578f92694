//! The word to repeat a completion action.

use makima_shared::domain::{
    CheckpointTrigger, Completion, CompletionError, CompletionStatus, NewCheckpoint, TaskId, TaskResult,
    Transition,
};
use makima_shared::queue::InboxMessage;
use makima_shared::store::{Applied, Fenced};
use serde_json::json;
use sqlx::PgPool;
use std::time::Duration;

use crate::stage::{Answer, Stage, TASKS, submission};

async fn retry(stage: &Stage, task: TaskId) -> Answer {
    stage.post(&format!("{TASKS}/{task}/retry-completion"), &json!({})).await
}

/// Runs a task to a conflict of its merge.
async fn conflict(stage: &Stage) -> TaskId {
    let mut body = submission("merged");
    body["completionAction"] = json!("merge");
    let task = stage.submit(&body).await;
    let epoch = stage.start(stage.worker("first").await, task).await;
    let checkpoint = NewCheckpoint {
        trigger: CheckpointTrigger::AgentEnded,
        base_commit: "a".repeat(40),
        tree_id: "b".repeat(40),
        files_changed: 1,
        lines_added: 1,
        lines_removed: 0,
        patch_gzip: b"patch".to_vec(),
        unpacked_bytes: 10,
        sha256: [0; 32],
        duration_ms: 1,
        message: None,
        commits: None,
    };
    let day = Duration::from_secs(24 * 3600);
    let written = stage.store.checkpoint_create(task, epoch, &checkpoint, day).await.unwrap();
    assert!(matches!(written, Fenced::Accepted(_)));
    let result = TaskResult {
        completion_error: Some("MERGE_CONFLICT: other changes".to_owned()),
        completion: Completion {
            status: CompletionStatus::Conflict,
            branch: Some("makima/x".to_owned()),
            commit: Some("d".repeat(40)),
            conflicts: vec!["README.md".to_owned()],
            error: Some(CompletionError {
                code: "MERGE_CONFLICT".to_owned(),
                message: "other changes".to_owned(),
            }),
            can_retry: true,
            ..Completion::default()
        }
        .into(),
        ..TaskResult::default()
    };
    let applied = stage.store.task_transition(task, &Transition::completed(epoch, result)).await.unwrap();
    assert!(matches!(applied, Applied::Moved(_)));
    task
}

#[sqlx::test(migrations = "../migrations")]
async fn a_conflict_is_shown_and_the_completion_repeated_by_a_worker_that_is_rung(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = conflict(&stage).await;
    let shown = stage.get(&format!("{TASKS}/{task}")).await.json();
    let expected = json!({
        "status": "conflict", "branch": "makima/x", "commit": "d".repeat(40), "pullRequestUrl": null,
        "conflicts": ["README.md"], "error": {"code": "MERGE_CONFLICT", "message": "other changes"},
        "canRetry": true,
    });
    assert_eq!((&shown["status"], &shown["completion"]), (&json!("done"), &expected));
    assert_eq!(
        (&shown["mergeStrategy"], &shown["completionError"]),
        (&json!("merge"), &json!("MERGE_CONFLICT: other changes"))
    );

    let worker = stage.worker("w").await;
    assert_eq!(stage.queue.ready_claim(worker, &[], 1).await.unwrap(), [task], "the hint of its submission");
    assert!(stage.queue.ready_claim(worker, &[], 1).await.unwrap().is_empty());
    let answer = retry(&stage, task).await;
    assert_eq!((answer.status.as_u16(), answer.json()["status"].as_str()), (202, Some("queued")));
    let rung = stage.queue.inbox(worker).next(Duration::from_secs(60)).await.unwrap();
    assert_eq!(rung, Some(InboxMessage::Claim));
    assert_eq!(stage.queue.ready_claim(worker, &[], 1).await.unwrap(), [task]);
    let again = retry(&stage, task).await;
    assert_eq!(again.error(), (409, "INVALID_STATE".to_owned()), "one is on its way");
}

#[sqlx::test(migrations = "../migrations")]
async fn there_is_nothing_to_repeat_of_a_task_that_did_not_end_so(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = stage.submit(&submission("a")).await;
    assert_eq!(retry(&stage, task).await.error(), (409, "INVALID_STATE".to_owned()));
    let epoch = stage.start(stage.worker("w").await, task).await;
    stage.complete(task, epoch).await;
    let refused = retry(&stage, task).await;
    assert_eq!(refused.error(), (409, "INVALID_STATE".to_owned()));
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("the task is done"), "{message}");
    assert_eq!(retry(&stage, TaskId::new()).await.error(), (404, "TASK_NOT_FOUND".to_owned()));
    let unknown = stage.post(&format!("{TASKS}/no-id/retry-completion"), &json!({})).await;
    assert_eq!(unknown.error(), (400, "INVALID_ID".to_owned()));
}

#[sqlx::test(migrations = "../migrations")]
async fn only_known_actions_and_strategies_are_taken(pool: PgPool) {
    let stage = Stage::new(pool).await;
    for (field, value) in [("completionAction", "fork"), ("mergeStrategy", "rebase")] {
        let mut body = submission("a");
        body[field] = json!(value);
        assert_eq!(stage.post(TASKS, &body).await.status.as_u16(), 422, "{field}");
    }
    for (action, strategy) in [("pr", "merge"), ("merge", "squash")] {
        let mut body = submission("a");
        body["completionAction"] = json!(action);
        body["mergeStrategy"] = json!(strategy);
        let task = stage.submit(&body).await;
        let shown = stage.get(&format!("{TASKS}/{task}")).await.json();
        assert_eq!((&shown["completionAction"], &shown["mergeStrategy"]), (&json!(action), &json!(strategy)));
        assert_eq!(shown["completion"], json!(null));
    }
}
