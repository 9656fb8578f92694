//! PUT of a task.

use std::time::Duration;

use axum::body::Body;
use makima_shared::domain::{SecretValue, TaskId};
use makima_shared::queue::InboxMessage;
use makima_shared::vault::Vault;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::stage::{Answer, Stage, TASKS, submission};

async fn put(stage: &Stage, task: TaskId, body: Value) -> Answer {
    let request = stage.request("PUT", &format!("{TASKS}/{task}")).header("content-type", "application/json");
    stage.send(request.body(Body::from(body.to_string())).unwrap()).await
}

#[sqlx::test(migrations = "../migrations")]
async fn a_change_answers_with_the_task_and_is_told_to_followers(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = stage.submit(&submission("old")).await;
    let answer = put(&stage, task, json!({"version": 1, "name": "new", "description": "why"})).await;
    assert_eq!(answer.status.as_u16(), 200);
    let shown = answer.json();
    assert_eq!((shown["name"].as_str(), shown["version"].as_i64()), (Some("new"), Some(2)));
    let events = stage.get(&format!("{TASKS}/{task}/events")).await.json();
    assert_eq!(events["events"][1]["data"]["fields"], json!(["name", "description"]));
    let same = put(&stage, task, json!({"version": 2, "name": "new"})).await;
    assert_eq!((same.status.as_u16(), same.json()["version"].as_i64()), (200, Some(2)));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_change_for_another_version_is_refused_with_both(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = stage.submit(&submission("a")).await;
    let answer = put(&stage, task, json!({"version": 7, "name": "b"})).await;
    assert_eq!(answer.error(), (409, "VERSION_CONFLICT".to_owned()));
    let error = &answer.json()["error"];
    assert_eq!((error["expectedVersion"].as_i64(), error["actualVersion"].as_i64()), (Some(7), Some(1)));
    let missing = put(&stage, TaskId::new(), json!({"version": 1, "name": "b"})).await;
    assert_eq!(missing.error(), (404, "TASK_NOT_FOUND".to_owned()));
}

#[sqlx::test(migrations = "../migrations")]
async fn what_cannot_change_is_named(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = stage.submit(&submission("a")).await;
    let worker = stage.worker("w").await;
    let other = stage.submit(&submission("b")).await;
    stage.start(worker, task).await;
    let cases = [
        (
            task,
            json!({"version": 3, "plan": "else", "priority": 1, "runAt": "2999-01-01T00:00:00Z"}),
            409,
            "INVALID_STATE",
            vec!["plan", "runAt"],
        ),
        (other, json!({"name": "b"}), 422, "VALIDATION_FAILED", vec!["version"]),
        (other, json!({"version": 1, "status": "done"}), 422, "VALIDATION_FAILED", vec!["status"]),
        (
            other,
            json!({"version": 1, "priority": 101, "name": ""}),
            422,
            "VALIDATION_FAILED",
            vec!["name", "priority"],
        ),
        (other, json!({"version": 1, "name": null}), 422, "VALIDATION_FAILED", vec!["name"]),
    ];
    for (task, body, status, code, fields) in cases {
        let answer = put(&stage, task, body).await;
        assert_eq!(answer.error(), (status, code.to_owned()), "{}", answer.text());
        assert_eq!(answer.fields(), fields);
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_cap_without_an_effect_is_refused_wherever_it_comes_from(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let mut body = submission("a");
    body["agent"] = json!({"kind": "codex"});
    body["maxCostUsd"] = json!(5);
    let answer = stage.post(TASKS, &body).await;
    assert_eq!(answer.error(), (422, "VALIDATION_FAILED".to_owned()));
    assert_eq!(answer.fields(), ["maxCostUsd"]);
    assert!(answer.text().contains("set maxTokens in its place"), "{}", answer.text());
    body["agent"] = json!({"kind": "claude"});
    let task = stage.submit(&body).await;
    let answer = put(&stage, task, json!({"version": 1, "agent": {"kind": "codex"}})).await;
    assert_eq!((answer.error().0, answer.fields()), (422, vec!["maxCostUsd".to_owned()]));
}

#[sqlx::test(migrations = "../migrations")]
async fn secrets_and_the_way_of_merging_change_like_any_field(pool: PgPool) {
    let mut stage = Stage::new(pool).await;
    let vault = Vault::parse(&Vault::new_key(), None).unwrap();
    for name in ["TOKEN", "OTHER"] {
        let sealed = vault.seal(stage.owner, name, &SecretValue::parse("the value".to_owned()).unwrap());
        stage.store.secret_set(stage.owner, name, &sealed).await.unwrap();
    }
    let mut body = submission("a");
    body["secrets"] = json!(["TOKEN"]);
    body["env"] = json!({"PLAIN": "1"});
    let task = stage.submit(&body).await;
    let wanted = json!([{"env": "KEY", "secret": "OTHER"}, "TOKEN"]);
    let changes = json!({"version": 1, "secrets": wanted, "mergeStrategy": "squash"});
    let answer = put(&stage, task, changes).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    let shown = answer.json();
    assert_eq!((&shown["secrets"], &shown["mergeStrategy"]), (&wanted, &json!("squash")));
    let events = stage.get(&format!("{TASKS}/{task}/events")).await.json();
    assert_eq!(events["events"][1]["data"]["fields"], json!(["secrets", "mergeStrategy"]));

    for (fields, refused) in [
        (json!({"secrets": ["MISSING"]}), "secrets"),
        (json!({"secrets": [{"env": "PLAIN", "secret": "TOKEN"}]}), "secrets[0]"),
        (json!({"env": {"KEY": "2"}}), "secrets[0]"),
        (json!({"mergeStrategy": "rebase"}), "mergeStrategy"),
    ] {
        let mut changes = fields;
        changes["version"] = json!(2);
        let answer = put(&stage, task, changes).await;
        assert_eq!(answer.error(), (422, "VALIDATION_FAILED".to_owned()), "{}", answer.text());
        assert_eq!(answer.fields(), [refused]);
    }
    let worker = stage.worker("w").await;
    stage.start(worker, task).await;
    let held = put(&stage, task, json!({"version": 4, "secrets": [], "mergeStrategy": "merge"})).await;
    assert_eq!(
        (held.error().0, held.fields()),
        (409, vec!["secrets".to_owned(), "mergeStrategy".to_owned()])
    );

    // Nobody gets another owner's.
    stage.key = stage.strangers_key().await;
    let theirs = stage.submit(&submission("b")).await;
    let answer = put(&stage, theirs, json!({"version": 1, "secrets": ["TOKEN"]})).await;
    assert_eq!((answer.error().0, answer.fields()), (422, vec!["secrets".to_owned()]));
}

#[sqlx::test(migrations = "../migrations")]
async fn dependencies_are_checked(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let first = stage.submit(&submission("first")).await;
    let depending = |on: TaskId| {
        let mut body = submission("x");
        body["dependsOn"] = json!([on]);
        body
    };
    let second = stage.submit(&depending(first)).await;
    let third = stage.submit(&depending(second)).await;
    let answer = put(&stage, second, json!({"version": 1, "dependsOn": [third]})).await;
    assert_eq!(answer.error(), (422, "DEPENDENCY_CYCLE".to_owned()));
    assert_eq!(answer.fields(), ["dependsOn"]);
    let answer = put(&stage, second, json!({"version": 1, "dependsOn": [TaskId::new()]})).await;
    assert_eq!(answer.error(), (422, "DEPENDENCY_NOT_FOUND".to_owned()));
    let answer = put(&stage, third, json!({"version": 1, "dependsOn": []})).await;
    assert_eq!(answer.json()["status"], "queued", "nothing keeps it any more");
}

/// A worker that waits for such a task is rung when the queue has it in its new place.
#[sqlx::test(migrations = "../migrations")]
async fn a_queued_task_moves_to_those_who_offer_its_new_labels(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let mut body = submission("a");
    body["labels"] = json!(["tpu"]);
    let task = stage.submit(&body).await;
    let (before, after) = (["tpu".to_owned()], ["gpu".to_owned()]);
    let worker = stage.worker("w").await;
    assert!(stage.queue.ready_claim(worker, &after, 1).await.unwrap().is_empty());
    let answer = put(&stage, task, json!({"version": 1, "labels": ["gpu"], "priority": 99})).await;
    assert_eq!(answer.status.as_u16(), 200);
    let rung = stage.queue.inbox(worker).next(Duration::from_secs(60)).await.unwrap();
    assert_eq!(rung, Some(InboxMessage::Claim));
    assert!(stage.queue.ready_claim(stage.worker("other").await, &before, 1).await.unwrap().is_empty());
    assert_eq!(stage.queue.ready_claim(worker, &after, 1).await.unwrap(), [task]);
}
