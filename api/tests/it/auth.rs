//! Keys.

use axum::body::Body;
use axum::http::Request;
use sqlx::PgPool;

use crate::stage::{Stage, TASKS};

#[sqlx::test(migrations = "../migrations")]
async fn a_missing_unknown_or_malformed_key_is_refused(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let headers = [
        None,
        Some("Bearer".to_owned()),
        Some("Bearer mk_wrong".to_owned()),
        Some(format!("Basic {}", stage.key)),
    ];
    for header in headers {
        let mut request = Request::builder().uri(TASKS);
        if let Some(value) = &header {
            request = request.header("authorization", value);
        }
        let answer = stage.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.error(), (401, "UNAUTHORIZED".to_owned()), "{header:?}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        assert!(!answer.text().contains("mk_"));
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn the_scheme_is_read_in_any_letter_case(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let request = Request::builder().uri(TASKS).header("authorization", format!("bEARER {}", stage.key));
    assert_eq!(stage.send(request.body(Body::empty()).unwrap()).await.status.as_u16(), 200);
}

#[sqlx::test(migrations = "../migrations")]
async fn every_route_of_the_document_asks_for_a_key(pool: PgPool) {
    let stage = Stage::new(pool).await;
    for (method, path) in crate::document::operations("/api/v1/") {
        let path = path
            .replace("{id}", &stage.owner.to_string())
            .replace("{number}", "1")
            .replace("{name}", "TOKEN");
        let request = Request::builder().method(method.as_str()).uri(&path);
        let answer = stage.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.error(), (401, "UNAUTHORIZED".to_owned()), "{method} {path}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn every_route_refuses_parameters_that_it_does_not_know(pool: PgPool) {
    let stage = Stage::new(pool).await;
    for (method, path) in crate::document::operations("/api/v1/") {
        let path = path
            .replace("{id}", &stage.owner.to_string())
            .replace("{number}", "1")
            .replace("{name}", "TOKEN");
        let answer = stage
            .send(stage.request(&method, &format!("{path}?colour=red")).body(Body::empty()).unwrap())
            .await;
        assert_eq!(answer.error(), (422, "VALIDATION_FAILED".to_owned()), "{method} {path}");
        assert_eq!(answer.fields(), ["colour"]);
    }
}
