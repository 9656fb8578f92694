//! Tasks that go on from another one's work.

use makima_shared::domain::TaskId;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::stage::{Stage, TASKS, submission};

fn with(changes: Value) -> Value {
    let mut body = submission("next");
    for (field, value) in changes.as_object().unwrap() {
        body[field] = value.clone();
    }
    body
}

#[sqlx::test(migrations = "../migrations")]
async fn each_field_that_cannot_be_taken_is_named(pool: PgPool) {
    let mut stage = Stage::new(pool).await;
    let source = stage.submit(&submission("source")).await;
    let cases = [
        (json!({"continueFromTaskId": TaskId::new()}), "continueFromTaskId"),
        (
            json!({"continueFromTaskId": source, "repositoryUrl": "https://host/other.git"}),
            "continueFromTaskId",
        ),
        (json!({"continueFromTaskId": source, "checkpointSha": "a".repeat(40)}), "checkpointSha"),
        (json!({"checkpointSha": "main"}), "checkpointSha"),
        (json!({"copyFiles": ["a"]}), "copyFiles"),
        (json!({"continueFromTaskId": source, "copyFiles": ["a", "../b"]}), "copyFiles[1]"),
        (json!({"continueFromTaskId": source, "copyFiles": [".Git/config"]}), "copyFiles[0]"),
        (json!({"keepIgnored": [""]}), "keepIgnored[0]"),
    ];
    for (changes, field) in cases {
        let answer = stage.post(TASKS, &with(changes.clone())).await;
        assert_eq!(answer.error(), (422, "VALIDATION_FAILED".to_owned()), "{changes}");
        assert_eq!(answer.fields(), [field], "{changes}");
    }
    let bulk = json!({"tasks": [submission("a"), with(json!({"continueFromTaskId": TaskId::new()}))]});
    let answer = stage.post(&format!("{TASKS}/bulk"), &bulk).await;
    assert_eq!(answer.fields(), ["tasks[1].continueFromTaskId"]);
    stage.key = stage.strangers_key().await;
    let answer = stage.post(TASKS, &with(json!({"continueFromTaskId": source}))).await;
    assert_eq!(answer.fields(), ["continueFromTaskId"], "another owner's task is none");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_start_point_is_shown_as_it_was_asked_for(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let source = stage.submit(&submission("source")).await;
    let asked = json!({"continueFromTaskId": source, "copyFiles": ["a b", "c/"], "keepIgnored": ["*.log"]});
    let id = stage.submit(&with(asked.clone())).await;
    let shown = stage.get(&format!("{TASKS}/{id}")).await.json();
    for (field, value) in asked.as_object().unwrap() {
        assert_eq!(&shown[field], value, "{field}");
    }
    assert_eq!(shown["checkpointSha"], json!(null));
}
