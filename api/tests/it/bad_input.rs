//! What cannot be taken, and the code that says so.

use axum::body::Body;
use makima_shared::domain::TaskId;
use serde_json::json;
use sqlx::PgPool;

use crate::stage::{Stage, TASKS, submission};

#[sqlx::test(migrations = "../migrations")]
async fn every_wrong_field_is_named(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let mut body = submission("two\nlines");
    body["plan"] = json!(" ");
    body["repositoryUrl"] = json!("/local");
    body["priority"] = json!(101);
    body["runAt"] = json!("-262143-01-01T00:00:00Z");
    let answer = stage.post(TASKS, &body).await;
    assert_eq!(answer.error(), (422, "VALIDATION_FAILED".to_owned()));
    assert_eq!(answer.fields(), ["name", "plan", "repositoryUrl", "priority", "runAt"]);
}

#[sqlx::test(migrations = "../migrations")]
async fn unknown_fields_and_wrong_types_are_named(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let cases = [
        ("prio", json!(1), "prio"),
        ("wishes", json!(TaskId::new()), "wishes"),
        ("priority", json!("high"), "priority"),
        ("dependsOn", json!(["no id"]), "dependsOn[0]"),
        ("agent", json!({"kind": "command", "argv": ["a"], "shell": true}), "agent.shell"),
    ];
    for (field, value, named) in cases {
        let mut body = submission("a");
        body[field] = value;
        let answer = stage.post(TASKS, &body).await;
        assert_eq!(answer.error(), (422, "VALIDATION_FAILED".to_owned()));
        assert_eq!(answer.fields(), [named]);
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn tasks_that_do_not_exist_are_no_dependencies_and_no_parents(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let cases = [
        ("dependsOn", json!([TaskId::new()]), "DEPENDENCY_NOT_FOUND"),
        ("parentTaskId", json!(TaskId::new()), "PARENT_NOT_FOUND"),
    ];
    for (field, value, code) in cases {
        let mut body = submission("a");
        body[field] = value;
        let answer = stage.post(TASKS, &body).await;
        assert_eq!(answer.error(), (422, code.to_owned()));
        assert_eq!(answer.fields(), [field]);
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_body_that_is_no_json_too_large_or_of_another_type_is_refused(pool: PgPool) {
    let stage = Stage::new(pool).await;
    for body in ["", "{", "no json", "{\"name\": \"\u{0}\"}"] {
        assert_eq!(stage.post_raw(TASKS, body).await.error(), (400, "MALFORMED_JSON".to_owned()), "{body}");
    }
    let mut body = submission("a");
    body["plan"] = json!("x".repeat(1024 * 1024));
    assert_eq!(stage.post(TASKS, &body).await.error(), (413, "PAYLOAD_TOO_LARGE".to_owned()));
    body["plan"] = json!("x".repeat(300 * 1024));
    assert_eq!(stage.post(TASKS, &body).await.fields(), ["plan"]);
    let form = stage.request("POST", TASKS).header("content-type", "text/plain");
    let answer = stage.send(form.body(Body::from(submission("a").to_string())).unwrap()).await;
    assert_eq!(answer.error(), (415, "UNSUPPORTED_MEDIA_TYPE".to_owned()));
}

#[sqlx::test(migrations = "../migrations")]
async fn ids_that_are_none_are_refused_in_words(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let id = stage.submit(&submission("a")).await;
    let paths = [
        format!("{TASKS}/nonsense"),
        format!("{TASKS}/nonsense/events"),
        format!("{TASKS}/%ff"),
        format!("{TASKS}/{id}/checkpoints/first/patch"),
        "/api/v1/mesh/workers/1".to_owned(),
    ];
    for path in paths {
        assert_eq!(stage.get(&path).await.error(), (400, "INVALID_ID".to_owned()), "{path}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn queries_are_checked(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let id = stage.submit(&submission("a")).await;
    let cases = [
        (TASKS.to_owned(), "status=runing", "status"),
        (TASKS.to_owned(), "parentTaskId=1", "parentTaskId"),
        (TASKS.to_owned(), "limit=0", "limit"),
        (TASKS.to_owned(), "limit=201", "limit"),
        (TASKS.to_owned(), "limit=x", "limit"),
        (TASKS.to_owned(), "limit=1&limit=2", "limit"),
        (TASKS.to_owned(), "cursor=x", "cursor"),
        (TASKS.to_owned(), "idSuffix=xyz", "idSuffix"),
        (TASKS.to_owned(), "q=%00", "q"),
        (TASKS.to_owned(), "wishes=1", "wishes"),
        (format!("{TASKS}/{id}/events"), "after=-1", "after"),
        (format!("{TASKS}/{id}/output"), "limit=1001", "limit"),
        (format!("{TASKS}/{id}/stream"), "after=x", "after"),
        (format!("{TASKS}/{id}/checkpoints/1/patch"), "format=zip", "format"),
    ];
    for (path, query, field) in cases {
        let answer = stage.get(&format!("{path}?{query}")).await;
        assert_eq!(answer.error(), (422, "VALIDATION_FAILED".to_owned()), "{query}");
        assert_eq!(answer.fields(), [field], "{query}: {}", answer.text());
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn routes_and_methods_that_do_not_exist_say_so(pool: PgPool) {
    let stage = Stage::new(pool).await;
    for path in ["/", "/api/v1/mesh/nothing", "/api/v2/mesh/tasks"] {
        assert_eq!(stage.get(path).await.error(), (404, "NOT_FOUND".to_owned()));
    }
    let answer = stage.send(stage.request("DELETE", TASKS).body(Body::empty()).unwrap()).await;
    assert_eq!(answer.error(), (405, "METHOD_NOT_ALLOWED".to_owned()));
    let allowed = answer.headers["allow"].to_str().unwrap();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
}
