//! Health, readiness, metrics and the reader of the document.

use axum::body::Body;
use axum::http::Request;
use makima_shared::config::ApiConfig;
use makima_shared::domain::SubmissionPolicy;
use serde_json::json;
use sqlx::PgPool;

use crate::stage::{Answer, Stage, TASKS};

async fn get_without_key(stage: &Stage, path: &str) -> Answer {
    stage.send(Request::builder().uri(path).body(Body::empty()).unwrap()).await
}

#[sqlx::test(migrations = "../migrations")]
async fn the_process_is_ready_while_both_servers_answer(pool: PgPool) {
    let stage = Stage::new(pool).await;
    assert_eq!(get_without_key(&stage, "/healthz").await.json(), json!({"status": "ok"}));
    let ready = get_without_key(&stage, "/readyz").await;
    assert_eq!((ready.status.as_u16(), ready.json()), (200, json!({"postgresql": "ok", "redis": "ok"})));
}

#[sqlx::test(migrations = "../migrations")]
async fn metrics_count_requests_by_their_template(pool: PgPool) {
    let stage = Stage::new(pool).await;
    stage.get(&format!("{TASKS}/{}", stage.owner)).await;
    let metrics = get_without_key(&stage, "/metrics").await;
    assert!(metrics.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert!(metrics.text().contains(r#"route="/api/v1/mesh/tasks/{id}""#), "{}", metrics.text());
    assert!(!metrics.text().contains(&stage.owner.to_string()));
}

#[sqlx::test(migrations = "../migrations")]
async fn the_document_and_its_reader_need_no_key(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let document = get_without_key(&stage, "/api/v1/openapi.json").await;
    assert_eq!(document.status.as_u16(), 200);
    assert_eq!(document.json(), serde_json::to_value(makima_api::document()).unwrap());
    assert_eq!(get_without_key(&stage, "/docs/").await.status.as_u16(), 200);
}

#[sqlx::test(migrations = "../migrations")]
async fn an_address_that_is_taken_is_named(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = taken.local_addr().unwrap();
    let config =
        ApiConfig { listen, policy: SubmissionPolicy { allow_local_repositories: false }, vault: None };
    let result =
        makima_api::run(config, stage.store.clone(), stage.queue.clone(), stage.shutdown.clone()).await;
    assert_eq!(result.unwrap_err().to_string(), format!("cannot listen on {listen}"));
}
