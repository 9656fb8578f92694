//! A task's history and its agent's output, page by page.

use axum::body::Body;
use makima_shared::domain::EventKind;
use makima_shared::store::Fenced;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::stage::{Answer, Stage, TASKS, submission};

async fn get_text(stage: &Stage, path: &str) -> Answer {
    stage.send(stage.request("GET", path).header("accept", "text/plain").body(Body::empty()).unwrap()).await
}

#[sqlx::test(migrations = "../migrations")]
async fn events_come_by_number_behind_the_last_one(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = stage.submit(&submission("a")).await;
    let worker = stage.worker("w").await;
    stage.start(worker, task).await;
    let path = format!("{TASKS}/{task}/events");
    let first = stage.get(&format!("{path}?limit=2")).await.json();
    assert_eq!(first["events"][0]["data"], json!({"transition": "submitted", "to": "queued"}));
    assert_eq!(first["events"][1]["data"]["to"], "starting");
    assert_eq!(first["nextAfter"], 2);
    let second = stage.get(&format!("{path}?after=2")).await.json();
    assert_eq!(second["events"].as_array().unwrap().len(), 1);
    assert_eq!(
        (second["events"][0]["kind"].as_str(), second["events"][0]["epoch"].as_i64()),
        (Some("status"), Some(1))
    );
    let third = stage.get(&format!("{path}?after=3")).await.json();
    assert_eq!((&third["events"], third["nextAfter"].as_i64()), (&json!([]), Some(3)));
}

#[sqlx::test(migrations = "../migrations")]
async fn output_comes_as_lines_and_as_text(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = stage.submit(&submission("a")).await;
    let worker = stage.worker("w").await;
    let epoch = stage.start(worker, task).await;
    let lines = [
        json!({"stream": "stdout", "text": "one, ", "partial": true}),
        json!({"stream": "stdout", "text": "two"}),
        json!({"stream": "stderr", "text": "three"}),
    ];
    let written = stage.store.events_append(task, epoch, EventKind::Output, &lines).await.unwrap();
    assert_eq!(written, Fenced::Accepted(6));
    let path = format!("{TASKS}/{task}/output");
    let page = stage.get(&path).await.json();
    let line = &page["lines"][0];
    assert_eq!((line["sequence"].as_i64(), line["epoch"].as_i64()), (Some(4), Some(1)));
    assert_eq!((line["text"].as_str(), line["partial"].as_bool()), (Some("one, "), Some(true)));
    assert!(line["createdAt"].is_string());
    assert_eq!(
        (&page["lines"][1]["partial"], page["lines"][2]["stream"].as_str()),
        (&Value::Null, Some("stderr"))
    );
    assert_eq!(page["nextAfter"], 6);

    let text = get_text(&stage, &path).await;
    assert!(text.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert_eq!(text.text(), "one, two\nthree\n");
    assert_eq!(get_text(&stage, &format!("{path}?after=5")).await.text(), "three\n");
}

#[sqlx::test(migrations = "../migrations")]
async fn text_is_whole_however_long_it_is_unless_a_limit_is_given(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = stage.submit(&submission("a")).await;
    let worker = stage.worker("w").await;
    let epoch = stage.start(worker, task).await;
    let lines: Vec<_> = (0..2500).map(|number| number.to_string()).collect();
    stage.write(task, epoch, &lines).await;
    let path = format!("{TASKS}/{task}/output");
    assert_eq!(get_text(&stage, &path).await.text(), format!("{}\n", lines.join("\n")));
    assert_eq!(get_text(&stage, &format!("{path}?limit=2")).await.text(), "0\n1\n");
    let empty = stage.submit(&submission("b")).await;
    assert_eq!(get_text(&stage, &format!("{TASKS}/{empty}/output")).await.text(), "");
}

#[sqlx::test(migrations = "../migrations")]
async fn output_that_was_pruned_is_said_to_be_missing(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = stage.submit(&submission("a")).await;
    let worker = stage.worker("w").await;
    let path = format!("{TASKS}/{task}/output");
    let epoch = stage.start(worker, task).await;
    let lines = ["one".to_owned(), "two".to_owned()];
    stage.write(task, epoch, &lines).await;
    stage.complete(task, epoch).await;
    assert_eq!(stage.get(&path).await.json()["pruned"], json!(null));
    stage.store.output_prune(std::time::Duration::ZERO, 10, 10).await.unwrap();
    let pruned = stage.get(&path).await.json();
    assert_eq!((&pruned["lines"], &pruned["pruned"]), (&json!([]), &json!(true)));
    let events = stage.get(&format!("{TASKS}/{task}/events?after=3")).await.json();
    assert_eq!(events["events"][1]["data"]["code"], "OUTPUT_PRUNED");

    stage.post(&format!("{TASKS}/{task}/start"), &json!({})).await;
    let epoch = stage.start(worker, task).await;
    stage.write(task, epoch, &lines).await;
    let again = stage.get(&format!("{path}?limit=1")).await.json();
    assert_eq!((again["lines"][0]["text"].as_str(), &again["pruned"]), (Some("one"), &json!(true)));
    let rest = stage.get(&format!("{path}?after={}", again["nextAfter"])).await.json();
    assert_eq!((rest["lines"].as_array().unwrap().len(), &rest["pruned"]), (1, &json!(null)));
}
