//! A PostgreSQL that takes nothing more: a task is never accepted that is not there.

use axum::http::request::Builder;
use makima_shared::store::Store;
use makima_shared::testing;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::stage::{Answer, Stage, TASKS, submission};

/// Sends every kind of submission: those that are one statement, and those that are a transaction of several.
async fn submit_everywhere(stage: &Stage, parent: &Value) -> Vec<Answer> {
    let mut child = submission("child");
    child["dependsOn"] = json!([parent]);
    let bulk = json!({"tasks": [submission("a"), child.clone()]});
    let mut answers = Vec::new();
    for (path, body) in [("", submission("a")), ("", child), ("/bulk", bulk)] {
        let plain = |request: Builder| request;
        let keyed = |request: Builder| request.header("idempotency-key", "k");
        for with_key in [plain as fn(Builder) -> Builder, keyed] {
            let request =
                stage.request("POST", &format!("{TASKS}{path}")).header("content-type", "application/json");
            answers.push(stage.send(with_key(request).body(body.to_string().into()).unwrap()).await);
        }
    }
    answers
}

/// Checks that nothing was accepted, and nobody told that it was.
async fn assert_nothing_was_taken(stage: &Stage, pool: &PgPool, answers: &[Answer]) {
    assert_eq!(answers.len(), 6);
    for answer in answers {
        assert_eq!(answer.error(), (503, "STORE_UNAVAILABLE".to_owned()));
        assert_eq!(answer.headers["retry-after"], "1");
    }
    let rows: (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM tasks), (SELECT count(*) FROM task_events), (SELECT count(*) FROM idempotency_keys)",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(rows, (1, 1, 0), "the parent alone");
    let worker = stage.worker("w").await;
    assert_eq!(stage.queue.ready_claim(worker, &[], 10).await.unwrap().len(), 1);
}

/// The disk fills in the very last moment: all statements were carried out, and the commit fails.
#[sqlx::test(migrations = "../migrations")]
async fn a_commit_that_fails_is_no_201(pool: PgPool) {
    let stage = Stage::new(pool.clone()).await;
    let parent = json!(stage.submit(&submission("parent")).await);
    let full = "CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
        END $$;
        CREATE CONSTRAINT TRIGGER disk_full AFTER INSERT ON tasks DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION disk_full();";
    sqlx::raw_sql(full).execute(&pool).await.unwrap();
    let answers = submit_everywhere(&stage, &parent).await;
    assert!(!answers[0].text().contains("device"), "nothing of the inside is told");
    assert_nothing_was_taken(&stage, &pool, &answers).await;
    sqlx::raw_sql("DROP TRIGGER disk_full ON tasks").execute(&pool).await.unwrap();
    assert_eq!(stage.post(TASKS, &submission("a")).await.status.as_u16(), 201);
}

/// What a standby says after a failover, and a primary that is to be left alone.
#[sqlx::test(migrations = "../migrations")]
async fn a_server_that_only_reads_is_no_201(pool: PgPool) {
    let stage = Stage::over(Store::from_pool(pool.clone()), &testing::redis_url()).await;
    let parent = json!(stage.submit(&submission("parent")).await);
    let each_connection = |setting: &'static str| {
        let pool = pool.clone();
        async move {
            // Every connection of the pool: it has no more than these.
            let mut all = Vec::new();
            for _ in 0..pool.options().get_max_connections() {
                all.push(pool.acquire().await.unwrap());
            }
            for connection in &mut all {
                sqlx::query(setting).execute(&mut **connection).await.unwrap();
            }
        }
    };
    each_connection("SET default_transaction_read_only = on").await;
    let answers = submit_everywhere(&stage, &parent).await;
    each_connection("SET default_transaction_read_only = off").await;
    assert_nothing_was_taken(&stage, &pool, &answers).await;
}

/// A restart, a change and a deletion whose commit fails leave everything as it was.
#[sqlx::test(migrations = "../migrations")]
async fn a_commit_that_fails_changes_nothing(pool: PgPool) {
    let stage = Stage::new(pool.clone()).await;
    let task = stage.submit(&submission("a")).await;
    stage.post(&format!("{TASKS}/{task}/stop"), &json!({})).await;
    let rows = || async {
        let all = "SELECT jsonb_build_array((SELECT jsonb_agg(t) FROM tasks t), (SELECT jsonb_agg(e) FROM task_events e))";
        sqlx::query_scalar::<_, Value>(all).fetch_one(&pool).await.unwrap()
    };
    let before = rows().await;
    let full = "CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'could not write to file: No space left on device' USING ERRCODE = '53100';
        END $$;
        CREATE CONSTRAINT TRIGGER disk_full AFTER UPDATE OR DELETE ON tasks DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION disk_full();";
    sqlx::raw_sql(full).execute(&pool).await.unwrap();
    let path = format!("{TASKS}/{task}");
    let put = stage.request("PUT", &path).header("content-type", "application/json");
    let put = put.body(json!({"version": 2, "name": "b"}).to_string().into()).unwrap();
    let start = stage.request("POST", &format!("{path}/start")).body(String::new().into()).unwrap();
    let delete = stage.request("DELETE", &path).body(String::new().into()).unwrap();
    for request in [put, start, delete] {
        assert_eq!(stage.send(request).await.error(), (503, "STORE_UNAVAILABLE".to_owned()));
    }
    assert_eq!(rows().await, before);
}
