//! Many tasks at once: coming in, and moving.

use makima_shared::domain::{
    BulkSubmission, NewTask, SubmissionPolicy, TaskId, TaskResult, TaskStatus, Transition,
};
use makima_shared::store::{Applied, Move, SubmitError, Submitted};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::fixture::Fixture;

fn bulk(changes: &[Value]) -> Vec<NewTask> {
    let tasks: Vec<Value> = changes
        .iter()
        .map(|changes| {
            let mut task = json!({"name": "a", "plan": "a", "repositoryUrl": "https://h/a",
                "agent": {"kind": "command", "argv": ["true"]}});
            for (key, value) in changes.as_object().unwrap() {
                task[key] = value.clone();
            }
            task
        })
        .collect();
    let bulk: BulkSubmission = serde_json::from_value(json!({ "tasks": tasks })).unwrap();
    bulk.check(&SubmissionPolicy { allow_local_repositories: false }).unwrap()
}

async fn submit(f: &Fixture, tasks: &[NewTask]) -> Vec<TaskId> {
    match f.store.tasks_submit(f.owner, tasks, None).await.unwrap() {
        Submitted::Created(tasks) => tasks.into_iter().map(|task| task.id).collect(),
        Submitted::Repeated(_) => panic!("no key was given"),
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_graph_of_one_request_runs_in_its_order(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let old = f.submit(json!({})).await;
    let ids = submit(
        &f,
        &bulk(&[
            json!({"ref": "bottom", "name": "bottom", "dependsOn": ["left", "right", old]}),
            json!({"ref": "left", "dependsOn": ["top"]}),
            json!({"ref": "right", "dependsOn": ["top"]}),
            json!({"ref": "top"}),
        ]),
    )
    .await;
    assert_eq!(f.task(ids[0]).await.name, "bottom");
    f.assert_dependencies_are_counted().await;
    assert_eq!(f.complete_all(&[f.run(old).await]).await, [] as [TaskId; 0]);
    assert_eq!(f.complete_all(&[f.run(ids[3]).await]).await, [ids[1], ids[2]]);
    let sides = [f.run(ids[1]).await, f.run(ids[2]).await];
    assert_eq!(f.complete_all(&sides).await, [ids[0]]);
    f.assert_history_gives_status(ids[0]).await;
    f.assert_dependencies_are_counted().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn one_task_that_cannot_be_taken_keeps_all_out(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let stranger = TaskId::new();
    let tasks = bulk(&[json!({}), json!({"dependsOn": [stranger]})]);
    let refused = f.store.tasks_submit(f.owner, &tasks, Some("k")).await;
    assert!(matches!(refused, Err(SubmitError::DependencyNotFound(id)) if id == stranger));
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM tasks").fetch_one(&f.pool).await.unwrap();
    assert_eq!(count, 0);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_key_stands_for_the_whole_request(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let tasks = bulk(&[json!({"name": "one"}), json!({"name": "two"})]);
    let Submitted::Created(made) = f.store.tasks_submit(f.owner, &tasks, Some("k")).await.unwrap() else {
        panic!("not made");
    };
    let Submitted::Repeated(again) = f.store.tasks_submit(f.owner, &tasks, Some("k")).await.unwrap() else {
        panic!("made twice");
    };
    assert_eq!(made.iter().map(|task| task.id).collect::<Vec<_>>(), again);
    let less = f.store.tasks_submit(f.owner, &tasks[..1], Some("k")).await;
    assert!(matches!(less, Err(SubmitError::IdempotencyMismatch)));
    let single = f.store.task_submit(f.owner, &tasks[0], Some("k")).await;
    assert!(matches!(single, Err(SubmitError::IdempotencyMismatch)));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_thousand_tasks_come_in_and_move_together(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let ids = submit(&f, &bulk(&vec![json!({}); 1000])).await;
    assert!(ids.is_sorted());
    let claimed = f.store.tasks_claim(f.worker().await, &ids).await.unwrap();
    assert_eq!(claimed.len(), 1000);
    let moves: Vec<_> = claimed
        .iter()
        .map(|task| Move {
            task: task.id,
            transition: Transition::completed(task.epoch, TaskResult::default()),
        })
        .collect();
    let all = f.store.tasks_transition(&moves).await.unwrap();
    assert!(all.applied.iter().all(|applied| matches!(applied, Applied::Moved(_))));
    f.assert_history_gives_status(ids[999]).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn each_of_many_moves_is_judged_by_itself(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let ids = submit(&f, &bulk(&vec![json!({}); 4])).await;
    let (running, stale) = (f.run(ids[0]).await, f.run(ids[1]).await);
    f.apply(ids[1], &Transition::handed_back(stale.epoch)).await;
    let moves = [
        Move { task: ids[1], transition: Transition::completed(stale.epoch, TaskResult::default()) },
        Move { task: ids[3], transition: Transition::cancelled() },
        Move { task: TaskId::new(), transition: Transition::cancelled() },
        Move { task: ids[0], transition: Transition::completed(running.epoch, TaskResult::default()) },
        Move { task: ids[2], transition: Transition::started(1.into()) },
    ];
    let all = f.store.tasks_transition(&moves).await.unwrap();
    let moved: Vec<_> = all.applied.iter().map(|applied| matches!(applied, Applied::Moved(_))).collect();
    assert_eq!(moved, [false, true, false, true, false]);
    for (task, status) in
        ids.iter().zip([TaskStatus::Done, TaskStatus::Queued, TaskStatus::Queued, TaskStatus::Cancelled])
    {
        assert_eq!(f.status(*task).await, status);
        f.assert_history_gives_status(*task).await;
    }
}

/// The worker need not tell of a start that is over before it could be told.
#[sqlx::test(migrations = "../migrations")]
async fn a_task_that_is_done_before_its_start_was_told_has_both_in_its_history(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let attempt = f.claim(f.worker().await, f.submit(json!({})).await).await;
    f.complete(attempt).await;
    let story: Vec<_> =
        f.history(attempt.task_id).await.into_iter().map(|event| event.data["transition"].clone()).collect();
    assert_eq!(story, ["submitted", "claimed", "started", "completed"]);
    f.assert_history_gives_status(attempt.task_id).await;
    let attempts = f.store.attempts_list(f.owner, attempt.task_id).await.unwrap();
    assert!(attempts[0].started_at.is_some());
}
