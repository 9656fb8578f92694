//! Schedules: what is accepted, how they are listed and shown, and who may see them.

use axum::body::Body;
use axum::http::StatusCode;
use makima_shared::domain::{ScheduleId, TaskId};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::stage::{Answer, Stage, TASKS, submission};

const SCHEDULES: &str = "/api/v1/schedules";

fn nightly(name: &str) -> Value {
    json!({"name": name, "cron": "30 2 * * MON-FRI", "timeZone": "Europe/Berlin", "task": submission("tidy up")})
}

async fn create(stage: &Stage, body: &Value) -> ScheduleId {
    let answer = stage.post(SCHEDULES, body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().parse().unwrap()
}

async fn call(stage: &Stage, method: &str, path: &str) -> Answer {
    stage.send(stage.request(method, path).body(Body::empty()).unwrap()).await
}

/// Fires a schedule, as the scheduler does, so many seconds after its due time.
async fn fire(stage: &Stage, pool: &PgPool, id: ScheduleId, seconds_late: i32) {
    let make_due = sqlx::query(
        "UPDATE schedules SET next_due_at = date_trunc('second', now()) - make_interval(secs => $2) WHERE id = $1",
    );
    make_due.bind(id).bind(f64::from(seconds_late)).execute(pool).await.unwrap();
    let due = stage.store.schedules_due(std::time::Duration::ZERO, 10).await.unwrap();
    assert!(stage.store.schedule_fire(id, due[0].due_at).await.unwrap().is_some());
}

#[sqlx::test(migrations = "../migrations")]
async fn a_schedule_is_accepted_with_its_place_and_its_whole_shape(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let answer = stage.post(SCHEDULES, &nightly("nightly")).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    let schedule = answer.json();
    let id = schedule["id"].as_str().unwrap();
    assert_eq!(answer.headers["location"], format!("{SCHEDULES}/{id}"));
    assert_eq!(schedule["shortId"], id.replace('-', "")[24..]);
    assert_eq!(
        (&schedule["cron"], &schedule["timeZone"]),
        (&json!("30 2 * * MON-FRI"), &json!("Europe/Berlin"))
    );
    assert_eq!((&schedule["missedRuns"], &schedule["allowOverlap"]), (&json!("skip"), &json!(true)));
    assert_eq!((&schedule["task"]["plan"], &schedule["lastTaskId"]), (&json!("do it"), &Value::Null));
    let due = schedule["nextDueAt"].as_str().unwrap();
    assert!(due.ends_with("00:30:00Z") || due.ends_with("01:30:00Z"), "{due}");
    assert_eq!(stage.get(TASKS).await.json()["tasks"], json!([]));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_schedule_is_shown_with_its_last_runs(pool: PgPool) {
    let stage = Stage::new(pool.clone()).await;
    let id = create(&stage, &nightly("nightly")).await;
    assert_eq!(stage.get(&format!("{SCHEDULES}/{id}")).await.json()["runs"], json!([]));
    fire(&stage, &pool, id, 7200).await;
    fire(&stage, &pool, id, 5).await;
    let shown = stage.get(&format!("{SCHEDULES}/{id}")).await.json();
    let runs = shown["runs"].as_array().unwrap();
    assert_eq!((&runs[0]["outcome"], &runs[1]["outcome"]), (&json!("submitted"), &json!("skipped_missed")));
    assert_eq!((&runs[0]["taskId"], &runs[0]["message"]), (&shown["lastTaskId"], &Value::Null));
    let task = stage.get(&format!("{TASKS}/{}", shown["lastTaskId"].as_str().unwrap())).await.json();
    assert_eq!((&task["name"], &task["status"]), (&json!("tidy up"), &json!("queued")));
    for seconds in 1..=25 {
        let fill = "INSERT INTO schedule_runs (schedule_id, due_at, outcome)
            VALUES ($1, now() + make_interval(secs => $2), 'skipped_missed')";
        sqlx::query(fill).bind(id).bind(f64::from(seconds)).execute(&pool).await.unwrap();
    }
    assert_eq!(stage.get(&format!("{SCHEDULES}/{id}")).await.json()["runs"].as_array().unwrap().len(), 20);
}

#[sqlx::test(migrations = "../migrations")]
async fn the_list_goes_page_by_page_newest_first_without_the_tasks(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let mut last = None;
    for name in ["one", "two", "three"] {
        last = Some(create(&stage, &nightly(name)).await);
    }
    let names = |page: &Value| {
        let schedules = page["schedules"].as_array().unwrap();
        schedules.iter().map(|schedule| schedule["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = stage.get(&format!("{SCHEDULES}?limit=2")).await.json();
    assert_eq!(names(&first), ["three", "two"]);
    assert_eq!(first["schedules"][0]["task"], Value::Null);
    let cursor = first["nextCursor"].as_str().unwrap();
    let second = stage.get(&format!("{SCHEDULES}?limit=2&cursor={cursor}")).await.json();
    assert_eq!((names(&second), &second["nextCursor"]), (vec!["one".to_owned()], &Value::Null));
    let short = last.unwrap().short().to_uppercase();
    let found = stage.get(&format!("{SCHEDULES}?idSuffix={short}")).await.json();
    assert_eq!(names(&found), ["three"]);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_deleted_schedule_is_gone_and_its_tasks_stay(pool: PgPool) {
    let stage = Stage::new(pool.clone()).await;
    let id = create(&stage, &nightly("nightly")).await;
    fire(&stage, &pool, id, 0).await;
    let path = format!("{SCHEDULES}/{id}");
    let deleted = call(&stage, "DELETE", &path).await;
    assert_eq!((deleted.status, deleted.body.len()), (StatusCode::NO_CONTENT, 0));
    for method in ["DELETE", "GET"] {
        assert_eq!(call(&stage, method, &path).await.error(), (404, "SCHEDULE_NOT_FOUND".to_owned()));
    }
    assert_eq!(stage.get(SCHEDULES).await.json()["schedules"], json!([]));
    assert_eq!(stage.get(TASKS).await.json()["tasks"].as_array().unwrap().len(), 1);
}

#[sqlx::test(migrations = "../migrations")]
async fn strangers_schedules_and_missing_ones_answer_alike_on_every_route(pool: PgPool) {
    let mut stage = Stage::new(pool).await;
    let theirs = create(&stage, &nightly("a")).await;
    let first_key = std::mem::take(&mut stage.key);
    stage.key = stage.strangers_key().await;
    let missing = ScheduleId::new();
    let routes = crate::document::operations("/api/v1/schedules/{id}");
    assert_eq!(routes.len(), 2, "{routes:?}");
    for (method, template) in routes {
        let path = |id: ScheduleId| template.replace("{id}", &id.to_string());
        let stranger = call(&stage, &method, &path(theirs)).await;
        let none = call(&stage, &method, &path(missing)).await;
        assert_eq!(stranger.error(), (404, "SCHEDULE_NOT_FOUND".to_owned()), "{method}");
        let without = |answer: &Answer, id: ScheduleId| answer.text().replace(&id.to_string(), "");
        assert_eq!(without(&stranger, theirs), without(&none, missing));
    }
    assert_eq!(stage.get(SCHEDULES).await.json()["schedules"], json!([]));
    stage.key = first_key;
    assert_eq!(stage.get(&format!("{SCHEDULES}/{theirs}")).await.status, StatusCode::OK);
}

#[sqlx::test(migrations = "../migrations")]
async fn every_wrong_field_is_named_those_of_the_task_too(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let mut body = nightly("two\nlines");
    body["cron"] = json!("61 * * * *");
    body["timeZone"] = json!("Europe/Bonn");
    body["task"]["plan"] = json!(" ");
    body["task"]["runAt"] = json!("2030-01-01T00:00:00Z");
    let answer = stage.post(SCHEDULES, &body).await;
    assert_eq!(answer.error(), (422, "VALIDATION_FAILED".to_owned()));
    assert_eq!(answer.fields(), ["name", "cron", "timeZone", "task.runAt", "task.plan"]);
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("cron cannot take '61' for the minutes (0 to 59)"), "{message}");
}

#[sqlx::test(migrations = "../migrations")]
async fn unknown_fields_wrong_types_and_missing_ones_are_named(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let with = |pointer: &str, field: &str, value: Value| {
        let mut body = nightly("a");
        body.pointer_mut(pointer).unwrap()[field] = value;
        body
    };
    let mut without_task = nightly("a");
    without_task.as_object_mut().unwrap().remove("task");
    let cases = [
        (with("", "paused", json!(true)), "paused"),
        (with("", "missedRuns", json!("run_twice")), "missedRuns"),
        (with("", "allowOverlap", json!("yes")), "allowOverlap"),
        (with("/task", "prio", json!(1)), "task.prio"),
        (with("/task", "priority", json!("high")), "task.priority"),
        (without_task, "task"),
    ];
    for (body, named) in cases {
        let answer = stage.post(SCHEDULES, &body).await;
        assert_eq!(answer.error(), (422, "VALIDATION_FAILED".to_owned()), "{body}");
        assert_eq!(answer.fields(), [named]);
    }
    for (query, field) in
        [("limit=0", "limit"), ("cursor=x", "cursor"), ("idSuffix=xyz", "idSuffix"), ("q=a", "q")]
    {
        assert_eq!(stage.get(&format!("{SCHEDULES}?{query}")).await.fields(), [field], "{query}");
    }
    let no_id = format!("{SCHEDULES}/nonsense");
    assert_eq!(stage.get(&no_id).await.error(), (400, "INVALID_ID".to_owned()));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_that_could_not_be_submitted_now_is_refused_with_its_field(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let cases = [
        ("dependsOn", json!([TaskId::new()]), "DEPENDENCY_NOT_FOUND"),
        ("parentTaskId", json!(TaskId::new()), "PARENT_NOT_FOUND"),
    ];
    for (field, value, code) in cases {
        let mut body = nightly("a");
        body["task"][field] = value;
        let answer = stage.post(SCHEDULES, &body).await;
        assert_eq!(answer.error(), (422, code.to_owned()));
        assert_eq!(answer.fields(), [format!("task.{field}")]);
    }
    assert_eq!(stage.get(SCHEDULES).await.json()["schedules"], json!([]));
}
