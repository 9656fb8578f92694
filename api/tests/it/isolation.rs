//! Another owner's task answers as one that does not exist, on every route.

use axum::body::Body;
use makima_shared::domain::TaskId;
use serde_json::json;
use sqlx::PgPool;

use crate::stage::{Answer, Stage, TASKS, submission};

async fn call(stage: &Stage, method: &str, template: &str, id: TaskId) -> Answer {
    let path = template.replace("{id}", &id.to_string()).replace("{number}", "1");
    let body = match (method, template.rsplit('/').next()) {
        ("PUT", _) => Body::from(r#"{"version":1,"name":"b"}"#),
        (_, Some("message")) => Body::from(r#"{"text":"b"}"#),
        _ => Body::empty(),
    };
    let request = stage.request(method, &path).header("content-type", "application/json");
    stage.send(request.body(body).unwrap()).await
}

#[sqlx::test(migrations = "../migrations")]
async fn strangers_tasks_and_missing_ones_answer_alike_on_every_route(pool: PgPool) {
    let mut stage = Stage::new(pool).await;
    let theirs = stage.submit(&submission("a")).await;
    stage.key = stage.strangers_key().await;
    let missing = TaskId::new();
    let routes = crate::document::operations("/api/v1/mesh/tasks/{id}");
    assert!(routes.len() >= 7, "{routes:?}");
    for (method, template) in routes {
        let stranger = call(&stage, &method, &template, theirs).await;
        let none = call(&stage, &method, &template, missing).await;
        assert_eq!(stranger.error(), (404, "TASK_NOT_FOUND".to_owned()), "{method} {template}");
        assert_eq!(
            stranger.text().replace(&theirs.to_string(), ""),
            none.text().replace(&missing.to_string(), "")
        );
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn strangers_tasks_are_not_listed_not_depended_on_and_not_stopped(pool: PgPool) {
    let mut stage = Stage::new(pool).await;
    let theirs = stage.submit(&submission("a")).await;
    let first_key = std::mem::take(&mut stage.key);
    stage.key = stage.strangers_key().await;
    assert_eq!(stage.get(TASKS).await.json()["tasks"], json!([]));
    let mut body = submission("b");
    body["dependsOn"] = json!([theirs]);
    assert_eq!(stage.post(TASKS, &body).await.error().1, "DEPENDENCY_NOT_FOUND");
    let mut body = submission("b");
    body["parentTaskId"] = json!(theirs);
    assert_eq!(stage.post(TASKS, &body).await.error().1, "PARENT_NOT_FOUND");
    stage.post(&format!("{TASKS}/{theirs}/stop"), &json!({})).await;
    stage.key = first_key;
    assert_eq!(stage.get(&format!("{TASKS}/{theirs}")).await.json()["status"], "queued");
}
