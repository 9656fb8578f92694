//! Tasks as they are listed and shown.

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::stage::{Stage, TASKS, submission};

fn names(page: &Value) -> Vec<&str> {
    page["tasks"].as_array().unwrap().iter().map(|task| task["name"].as_str().unwrap()).collect()
}

#[sqlx::test(migrations = "../migrations")]
async fn the_list_goes_page_by_page_newest_first(pool: PgPool) {
    let stage = Stage::new(pool).await;
    for name in ["one", "two", "three"] {
        stage.submit(&submission(name)).await;
    }
    let first = stage.get(&format!("{TASKS}?limit=2")).await.json();
    assert_eq!(names(&first), ["three", "two"]);
    let cursor = first["nextCursor"].as_str().unwrap();
    let second = stage.get(&format!("{TASKS}?limit=2&cursor={cursor}")).await.json();
    assert_eq!(names(&second), ["one"]);
    assert_eq!(second["nextCursor"], Value::Null);
}

#[sqlx::test(migrations = "../migrations")]
async fn the_list_is_narrowed_by_each_filter(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let parent = stage.submit(&submission("Parent 100%")).await;
    let mut body = submission("child");
    body["parentTaskId"] = json!(parent);
    body["dependsOn"] = json!([parent]);
    stage.submit(&body).await;
    let short = parent.short().to_uppercase();
    let cases = [
        ("status=pending".to_owned(), "child"),
        ("status=queued".to_owned(), "Parent 100%"),
        (format!("parentTaskId={parent}"), "child"),
        ("q=PARENT".to_owned(), "Parent 100%"),
        ("q=100%25".to_owned(), "Parent 100%"),
        (format!("idSuffix={short}"), "Parent 100%"),
    ];
    for (query, name) in cases {
        assert_eq!(names(&stage.get(&format!("{TASKS}?{query}")).await.json()), [name], "{query}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_is_shown_with_all_that_belongs_to_it(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let first = stage.submit(&submission("first")).await;
    let mut body = submission("second");
    body["dependsOn"] = json!([first]);
    body["parentTaskId"] = json!(first);
    let second = stage.submit(&body).await;

    let shown = stage.get(&format!("{TASKS}/{second}")).await.json();
    assert_eq!(shown["dependencies"], json!([{"id": first, "name": "first", "status": "queued"}]));
    assert_eq!(shown["waitingFor"], "the task \"first\" to be done");
    assert_eq!((&shown["attempts"], &shown["lastCheckpoint"]), (&json!([]), &Value::Null));

    let worker = stage.worker("bee").await;
    let epoch = stage.start(worker, first).await;
    stage.complete(first, epoch).await;
    let shown = stage.get(&format!("{TASKS}/{first}")).await.json();
    assert_eq!(shown["subtasks"][0]["id"], json!(second));
    assert_eq!(shown["subtasks"][0]["shortId"], second.short());
    assert_eq!(shown["attempts"][0]["workerName"], "bee");
    assert_eq!(shown["attempts"][0]["outcome"], "completed");
    assert_eq!((shown["status"].as_str(), &shown["waitingFor"]), (Some("done"), &Value::Null));
}
