//! PostgreSQL or Redis away, and faults of the server itself.

use makima_api::{AppState, app};
use makima_shared::domain::SubmissionPolicy;
use makima_shared::queue::Queue;
use makima_shared::store::Store;
use makima_shared::testing;
use serde_json::json;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::stage::{Stage, TASKS, submission};

#[sqlx::test(migrations = "../migrations")]
async fn submissions_and_stops_are_answered_while_redis_is_away(pool: PgPool) {
    let stage = Stage::without_redis(pool).await;
    let task = stage.submit(&submission("a")).await;
    let shown = stage.get(&format!("{TASKS}/{task}")).await.json();
    assert_eq!(shown["status"], "queued");
    assert_eq!(stage.post(&format!("{TASKS}/{task}/stop"), &json!({})).await.status.as_u16(), 202);
    let ready = stage.get("/readyz").await;
    assert_eq!((ready.status.as_u16(), ready.json()), (503, json!({"postgresql": "ok", "redis": "away"})));
    assert_eq!(stage.get("/healthz").await.status.as_u16(), 200);
}

async fn status_and_body(store: &Store, path: &str) -> (u16, Option<String>, serde_json::Value) {
    let queue = Queue::open(&testing::redis_url(), "test-away").unwrap();
    let policy = SubmissionPolicy { allow_local_repositories: false };
    let state = AppState::new(store.clone(), queue, policy, CancellationToken::new()).unwrap();
    let request = axum::http::Request::builder().uri(path).header("authorization", "Bearer mk_x");
    let response = app(state).oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let retry = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, retry, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn an_absent_postgresql_is_named_with_a_code_and_nothing_of_the_inside() {
    let no_socket = "postgres://nobody@localhost/none?host=/nonexistent";
    let no_listener = "postgres://nobody@127.0.0.1:1/none";
    for url in [no_socket, no_listener] {
        let store = Store::open(url, 2, "test").unwrap().with_patience(std::time::Duration::from_millis(300));
        let (status, retry, body) = status_and_body(&store, TASKS).await;
        assert_eq!((status, retry.as_deref()), (503, Some("1")));
        assert_eq!(body["error"]["code"], "STORE_UNAVAILABLE");
        assert!(!body.to_string().contains("nobody"), "{body}");
        let (status, _, body) = status_and_body(&store, "/readyz").await;
        assert_eq!((status, body), (503, json!({"postgresql": "away", "redis": "ok"})));
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_fault_of_the_server_is_answered_with_an_id_and_nothing_of_the_inside(pool: PgPool) {
    let stage = Stage::new(pool.clone()).await;
    let task = stage.submit(&submission("a")).await;
    sqlx::query("ALTER TABLE task_checkpoints RENAME TO elsewhere").execute(&pool).await.unwrap();
    let answer = stage.get(&format!("{TASKS}/{task}/checkpoints")).await;
    assert_eq!(answer.error(), (500, "INTERNAL".to_owned()));
    assert!(!answer.text().contains("task_checkpoints"), "{}", answer.text());
}
