//! Messages to a task's agent.

use std::time::Duration;

use makima_shared::queue::InboxMessage;
use makima_shared::store::{Fenced, OpenAttempt};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::stage::{Stage, TASKS, submission};

fn for_claude() -> Value {
    let mut body = submission("a");
    body["agent"] = json!({"kind": "claude"});
    body
}

#[sqlx::test(migrations = "../migrations")]
async fn a_message_is_taken_listed_and_told_to_the_worker(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = stage.submit(&for_claude()).await;
    let path = format!("{TASKS}/{task}/message");
    let first = stage.post(&path, &json!({"text": "before the start"})).await;
    assert_eq!((first.status.as_u16(), &first.json()["number"]), (202, &json!(1)));
    let worker = stage.worker_that_offers("w", &["agent:claude"]).await;
    let epoch = stage.start(worker, task).await;
    let second = stage.post(&path, &json!({"text": "while it runs"})).await.json();
    let told = stage.queue.inbox(worker).next(Duration::from_secs(60)).await.unwrap();
    let attempt = OpenAttempt { task_id: task, epoch };
    assert_eq!(told, Some(InboxMessage::Message { attempt, number: 2 }));

    let noted = stage.store.messages_delivered(attempt, &[1]).await.unwrap();
    assert_eq!(noted, Fenced::Accepted(()));
    let listed = stage.get(&format!("{TASKS}/{task}/messages")).await.json();
    let messages = listed["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2, "{listed:#}");
    assert_eq!((&messages[0]["deliveredEpoch"], &messages[1]["deliveredAt"]), (&json!(1), &Value::Null));
    assert_eq!((&messages[1]["id"], &messages[1]["text"]), (&second["id"], &json!("while it runs")));
    let rest = stage.get(&format!("{TASKS}/{task}/messages?after=1&limit=1")).await.json();
    assert_eq!((rest["messages"].as_array().unwrap().len(), &rest["nextAfter"]), (1, &json!(2)));
}

#[sqlx::test(migrations = "../migrations")]
async fn who_cannot_take_a_message_says_so(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let said = json!({"text": "hm"});
    let command = stage.submit(&submission("c")).await;
    let answer = stage.post(&format!("{TASKS}/{command}/message"), &said).await;
    assert_eq!(answer.error(), (409, "MESSAGES_NOT_TAKEN".to_owned()));
    let task = stage.submit(&for_claude()).await;
    let path = format!("{TASKS}/{task}/message");
    for bad in ["", " \n", "a\u{0}b", &"x".repeat(65537)] {
        let answer = stage.post(&path, &json!({ "text": bad })).await;
        assert_eq!(answer.error(), (422, "VALIDATION_FAILED".to_owned()));
        assert_eq!(answer.fields(), ["text"]);
    }
    assert_eq!(stage.post(&path, &json!({})).await.fields(), ["text"]);
    assert_eq!(stage.post(&path, &json!({"text": "x".repeat(65536)})).await.status.as_u16(), 202);
    stage.post(&format!("{TASKS}/{task}/stop"), &json!({})).await;
    assert_eq!(stage.post(&path, &said).await.error(), (409, "INVALID_STATE".to_owned()));
    for (method, path) in [("POST", "message"), ("GET", "messages")] {
        let path = format!("{TASKS}/01890a5d-ac96-774b-bcce-b302099a8057/{path}");
        let request = stage.request(method, &path).header("content-type", "application/json");
        let answer = stage.send(request.body(said.to_string().into()).unwrap()).await;
        assert_eq!(answer.error(), (404, "TASK_NOT_FOUND".to_owned()));
    }
}
