//! Secrets: set, listed and deleted by their owner, and told to nobody.

use axum::body::Body;
use makima_api::app;
use makima_shared::vault::Vault;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::stage::{Stage, TASKS, submission};

const SECRETS: &str = "/api/v1/secrets";
const VALUE: &str = "correct horse battery";

/// A stage whose API has a key that seals secrets.
async fn with_vault(pool: PgPool) -> Stage {
    let stage = Stage::new(pool).await;
    let vault = Vault::parse(&Vault::new_key(), None).unwrap();
    let state = stage.state.clone().with_vault(Some(vault));
    Stage { app: app(state.clone()), state, ..stage }
}

async fn put(stage: &Stage, name: &str, body: &Value) -> (u16, Value) {
    let request =
        stage.request("PUT", &format!("{SECRETS}/{name}")).header("content-type", "application/json");
    let answer = stage.send(request.body(Body::from(body.to_string())).unwrap()).await;
    (answer.status.as_u16(), answer.json())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_secret_is_set_listed_without_its_value_and_deleted(pool: PgPool) {
    let stage = with_vault(pool.clone()).await;
    let body = json!({ "value": VALUE });
    let (status, made) = put(&stage, "TOKEN", &body).await;
    assert_eq!((status, &made["name"]), (201, &json!("TOKEN")));
    let (status, replaced) = put(&stage, "TOKEN", &body).await;
    assert_eq!((status, &replaced["createdAt"]), (200, &made["createdAt"]));
    let list = stage.get(SECRETS).await;
    assert_eq!(list.json(), json!({ "secrets": [replaced] }));
    let stored: String = sqlx::query_scalar("SELECT string_agg(s::text, '') FROM owner_secrets s")
        .fetch_one(&pool)
        .await
        .unwrap();
    let hex = VALUE.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(!stored.contains(VALUE) && !stored.contains(&hex), "{stored}");

    let stranger = stage.strangers_key().await;
    let theirs =
        axum::http::Request::builder().uri(SECRETS).header("authorization", format!("Bearer {stranger}"));
    assert_eq!(stage.send(theirs.body(Body::empty()).unwrap()).await.json(), json!({ "secrets": [] }));

    let delete = || stage.request("DELETE", &format!("{SECRETS}/TOKEN")).body(Body::empty()).unwrap();
    assert_eq!(stage.send(delete()).await.status.as_u16(), 204);
    assert_eq!(stage.send(delete()).await.error(), (404, "SECRET_NOT_FOUND".to_owned()));
}

#[sqlx::test(migrations = "../migrations")]
async fn names_and_values_that_are_none_are_refused_with_their_field(pool: PgPool) {
    let stage = with_vault(pool).await;
    for (name, body, field) in [
        ("A-B", json!({ "value": VALUE }), "name"),
        ("1A", json!({ "value": VALUE }), "name"),
        (&"A".repeat(129), json!({ "value": VALUE }), "name"),
        ("A", json!({ "value": "short" }), "value"),
        ("A", json!({ "value": "        \n " }), "value"),
        ("A", json!({ "value": "x".repeat(32 * 1024 + 1) }), "value"),
        ("A", json!({ "value": "12345678\u{0}" }), "value"),
        ("A", json!({ "value": 12_345_678 }), "value"),
        ("A", json!({ "value": VALUE, "note": 1 }), "note"),
        ("A", json!({}), "value"),
    ] {
        let (status, answer) = put(&stage, name, &body).await;
        assert_eq!((status, &answer["error"]["fields"][0]["field"]), (422, &json!(field)), "{answer}");
        assert!(!answer.to_string().contains(VALUE));
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn without_a_key_nothing_can_be_set_and_all_else_works(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let (status, answer) = put(&stage, "TOKEN", &json!({ "value": VALUE })).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("SECRETS_NOT_CONFIGURED")));
    assert_eq!(stage.get(SECRETS).await.status.as_u16(), 200);
    stage.submit(&submission("plain")).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_that_names_an_unknown_secret_is_refused(pool: PgPool) {
    let stage = with_vault(pool).await;
    let asking = |secrets: Value| {
        let mut body = submission("asks");
        body["secrets"] = secrets;
        body
    };
    let refused = stage.post(TASKS, &asking(json!(["TOKEN"]))).await;
    assert_eq!((refused.error().0, refused.fields()), (422, vec!["secrets".to_owned()]));
    put(&stage, "TOKEN", &json!({ "value": VALUE })).await;
    let secrets = json!(["TOKEN", { "env": "OTHER", "secret": "TOKEN" }]);
    let id = stage.submit(&asking(secrets.clone())).await;
    assert_eq!(stage.get(&format!("{TASKS}/{id}")).await.json()["secrets"], secrets);

    let bulk = json!({ "tasks": [asking(json!(["TOKEN"])), asking(json!(["NONE"]))] });
    let refused = stage.post(&format!("{TASKS}/bulk"), &bulk).await;
    assert_eq!(refused.fields(), ["tasks[1].secrets"]);
    let schedule = json!({ "name": "s", "cron": "@daily", "task": asking(json!(["NONE"])) });
    assert_eq!(stage.post("/api/v1/schedules", &schedule).await.fields(), ["task.secrets"]);
    let twice = stage.post(TASKS, &asking(json!(["TOKEN", "TOKEN"]))).await;
    assert_eq!(twice.fields(), ["secrets[1]"]);
}
