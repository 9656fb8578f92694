//! Changing a task after it was submitted.

use makima_shared::domain::{ContractId, TaskId, TaskStatus, Transition};
use makima_shared::store::ChangeError;
use makima_shared::testing;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::fixture::{Fixture, accepted, agent_failure, checked, wide};

/// A change of every field but the dependencies.
fn everything() -> Value {
    json!({
        "name": "new", "plan": "new", "description": "new", "baseBranch": "base", "targetBranch": "target",
        "agent": {"kind": "command", "argv": ["new"]}, "priority": 99, "contractId": ContractId::new(),
        "labels": ["gpu"], "maxRetries": 7, "timeoutSecs": 60, "checkpointIntervalSecs": 9,
        "runAt": "2999-01-01T00:00:00Z", "env": {"A": "1"}, "completionAction": "push",
    })
}

fn refused(outcome: Result<Option<impl Sized>, ChangeError>) -> Vec<String> {
    match outcome {
        Err(ChangeError::NotNow { fields, .. }) => fields.into_iter().map(|field| field.field).collect(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("changed"),
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn every_field_of_a_pending_task_can_change_and_the_history_names_them(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({"runAt": "2999-01-01T00:00:00Z"})).await;
    let mut changes = everything();
    changes["runAt"] = json!("2998-01-01T00:00:00Z");
    let before = f.task(task).await;
    let news = f.change(task, changes.clone()).await.unwrap().unwrap();
    let row = serde_json::to_value(f.task(task).await).unwrap();
    for (field, value) in changes.as_object().unwrap() {
        assert_eq!(&row[field], value, "{field}");
    }
    assert_eq!((row["version"].as_i64(), row["notBefore"].as_str()), (Some(2), row["runAt"].as_str()));
    let last = f.history(task).await.pop().unwrap();
    assert_eq!((last.data["code"].as_str(), last.sequence), (Some("CHANGED"), news.sequence));
    let named: Vec<_> = last.data["fields"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
    assert_eq!(named.len(), changes.as_object().unwrap().len());
    assert!(!last.data.to_string().contains("new"), "no value is told");
    f.assert_history_gives_status(task).await;

    let back = json!({"description": null, "baseBranch": null, "targetBranch": null, "contractId": null,
        "timeoutSecs": null, "labels": [], "env": {}});
    f.change(task, back).await.unwrap().unwrap();
    let row = f.task(task).await;
    assert_eq!((row.description, row.base_branch, row.timeout_secs), (None, None, None));
    assert_eq!((row.contract_id, row.labels.len(), row.env.len()), (None, 0, 0));
    assert_eq!(row.repository_url, before.repository_url);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_change_is_made_for_one_version_alone(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({})).await;
    let rename = |version, name: &str| checked(json!({"version": version, "name": name}));
    f.store.task_change(f.owner, task, &rename(1, "first")).await.unwrap().unwrap();
    let late = f.store.task_change(f.owner, task, &rename(1, "second")).await;
    assert!(matches!(late, Err(ChangeError::VersionConflict { actual: 2 })), "{late:?}");
    f.claim(f.worker().await, task).await;
    let overtaken = f.store.task_change(f.owner, task, &rename(2, "third")).await;
    assert!(matches!(overtaken, Err(ChangeError::VersionConflict { actual: 3 })), "{overtaken:?}");
    let none = f.store.task_change(f.owner, task, &rename(3, "first")).await.unwrap();
    assert!(none.is_none(), "it is called so already");
    let row = f.task(task).await;
    assert_eq!((row.name.as_str(), row.version), ("first", 3));
    let stranger = Fixture::new(f.pool.clone()).await;
    for (owner, task) in [(stranger.owner, task), (f.owner, TaskId::new())] {
        let missing = f.store.task_change(owner, task, &rename(3, "x")).await;
        assert!(matches!(missing, Err(ChangeError::NotFound)), "{missing:?}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn what_cannot_change_now_is_named_and_nothing_changes(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({})).await;
    let waits = ["runAt"];
    let held = [
        "plan",
        "baseBranch",
        "targetBranch",
        "agent",
        "maxRetries",
        "timeoutSecs",
        "checkpointIntervalSecs",
        "runAt",
        "env",
        "completionAction",
    ];
    let sorted = |mut fields: Vec<String>| {
        fields.sort();
        fields
    };
    let expect = |fields: &[&str]| sorted(fields.iter().map(|field| (*field).to_owned()).collect());
    let before = f.rows(task).await;
    assert_eq!(refused(f.change(task, everything()).await), expect(&waits));
    assert_eq!(f.rows(task).await, before);

    let attempt = f.claim(f.worker().await, task).await;
    for _ in 0..2 {
        assert_eq!(sorted(refused(f.change(task, everything()).await)), expect(&held));
        let _ = f.store.task_transition(task, &Transition::started(attempt.epoch)).await.unwrap();
    }
    let later = json!({"name": "b", "priority": 1, "labels": ["tpu"], "contractId": ContractId::new()});
    f.change(task, later).await.unwrap().unwrap();
    f.complete(attempt).await;
    let ended = expect(&[held.as_slice(), &["priority", "labels", "contractId"]].concat());
    assert_eq!(sorted(refused(f.change(task, everything()).await)), ended);
    f.change(task, json!({"name": "c", "description": "what came of it"})).await.unwrap().unwrap();
    // As it is already: that is no change, whatever the status.
    assert!(
        f.change(task, json!({"priority": 1, "plan": "tidy up", "dependsOn": []})).await.unwrap().is_none()
    );
    f.assert_history_gives_status(task).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn the_base_of_work_that_has_begun_stays(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let attempt = f.run(f.submit(json!({"baseBranch": "one"})).await).await;
    accepted(f.store.attempt_prepared(attempt, &"e".repeat(40), None).await.unwrap());
    f.apply(attempt.task_id, &Transition::handed_back(attempt.epoch)).await;
    assert_eq!(refused(f.change(attempt.task_id, json!({"baseBranch": "two"})).await), ["baseBranch"]);
    f.change(attempt.task_id, json!({"plan": "else"})).await.unwrap().unwrap();
}

#[sqlx::test(migrations = "../migrations")]
async fn a_field_must_fit_the_others(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({"baseBranch": "main", "maxRetries": 3})).await;
    f.fail(f.run(task).await, agent_failure()).await;
    for (changes, field) in
        [(json!({"targetBranch": "main"}), "targetBranch"), (json!({"maxRetries": 0}), "maxRetries")]
    {
        match f.change(task, changes).await {
            Err(ChangeError::Unfit(error)) => assert_eq!(error.field, field),
            other => panic!("{other:?}"),
        }
    }
    f.change(task, json!({"maxRetries": 1})).await.unwrap().unwrap();
}

#[sqlx::test(migrations = "../migrations")]
async fn a_queued_task_moves_in_the_queue(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({"labels": ["a"]})).await;
    let news = f.change(task, json!({"priority": 80})).await.unwrap().unwrap();
    assert_eq!((news.ready.unwrap().priority, news.left_labels), (80, None));
    let news = f.change(task, json!({"labels": ["b"]})).await.unwrap().unwrap();
    assert_eq!(
        (news.ready.unwrap().labels, news.left_labels),
        (vec!["b".to_owned()], Some(vec!["a".to_owned()]))
    );
    let news = f.change(task, json!({"plan": "else"})).await.unwrap().unwrap();
    assert!(news.ready.is_none(), "the queue knows nothing of plans");
    assert_eq!(f.status(task).await, TaskStatus::Queued);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_new_time_holds_and_a_rest_is_not_cut_short(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let task = f.submit(json!({"runAt": "2999-01-01T00:00:00Z"})).await;
    f.change(task, json!({"runAt": "2998-01-01T00:00:00Z"})).await.unwrap().unwrap();
    let row = f.task(task).await;
    assert_eq!(row.not_before, row.run_at);
    let news = f.change(task, json!({"runAt": null})).await.unwrap().unwrap();
    assert_eq!(news.ready.map(|ready| ready.id), Some(task), "nothing keeps it any more");
    f.assert_history_gives_status(task).await;

    f.fail(f.run(task).await, agent_failure()).await;
    let rest = sqlx::query("UPDATE tasks SET not_before = now() + interval '1 hour' WHERE id = $1");
    rest.bind(task).execute(&f.pool).await.unwrap();
    let until = f.task(task).await.not_before;
    let past = "2000-01-01T00:00:00Z";
    assert!(f.change(task, json!({"runAt": past})).await.unwrap().unwrap().ready.is_none());
    assert_eq!(f.task(task).await.not_before, until);
    f.change(task, json!({"runAt": "2999-01-01T00:00:00Z"})).await.unwrap().unwrap();
    let row = f.task(task).await;
    assert_eq!(row.not_before, row.run_at);
}

#[sqlx::test(migrations = "../migrations")]
async fn dependencies_of_a_pending_task_change_with_every_count(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (one, two, done) = (f.submit(json!({})).await, f.submit(json!({})).await, f.submit(json!({})).await);
    f.complete(f.run(done).await).await;
    let child = f.submit(json!({"dependsOn": [one]})).await;
    f.change(child, json!({"dependsOn": [two, done]})).await.unwrap().unwrap();
    f.assert_dependencies_are_counted().await;
    assert!(f.complete_all(&[f.run(one).await]).await.is_empty(), "it waits for the other one now");
    let named: Vec<_> =
        f.store.task_dependencies(f.owner, child).await.unwrap().iter().map(|t| t.id).collect();
    assert_eq!(named, [two, done]);
    let news = f.change(child, json!({"dependsOn": [done]})).await.unwrap().unwrap();
    assert_eq!(news.ready.map(|ready| ready.id), Some(child), "what it waited for is no more");
    assert_eq!(f.story(child).await, ["submitted", "CHANGED", "CHANGED", "released"]);
    f.assert_dependencies_are_counted().await;
    assert!(f.complete_all(&[f.run(two).await]).await.is_empty());
    assert_eq!(refused(f.change(child, json!({"dependsOn": []})).await), ["dependsOn"]);
    f.assert_history_gives_status(child).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_dependency_without_hope_blocks_the_task_that_gets_it(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (open, gone) = (f.submit(json!({})).await, f.submit(json!({})).await);
    f.apply(gone, &Transition::cancelled()).await;
    let child = f.submit(json!({"dependsOn": [open]})).await;
    assert!(f.change(child, json!({"dependsOn": [open, gone]})).await.unwrap().unwrap().is_blocked);
    f.assert_dependencies_are_counted().await;
    assert_eq!(f.fail_blocked().await, [child]);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_task_that_is_no_longer_free_leaves_the_line_for_a_slot(pool: PgPool) {
    let f = Fixture::new(pool).await;
    sqlx::query("UPDATE owners SET max_running = 1").execute(&f.pool).await.unwrap();
    let (first, second, third) =
        (f.submit(json!({})).await, f.submit(json!({})).await, f.submit(json!({})).await);
    assert!(f.change(second, json!({"dependsOn": [first]})).await.unwrap().unwrap().slots_wanted);
    f.change(third, json!({"runAt": "2999-01-01T00:00:00Z"})).await.unwrap().unwrap();
    let give =
        || async { f.store.slots_give(f.owner).await.unwrap().iter().map(|t| t.id).collect::<Vec<_>>() };
    assert_eq!(give().await, [first]);
    assert!(f.complete_all(&[f.run(first).await]).await.is_empty());
    assert_eq!(give().await, [second]);
    f.complete(f.run(second).await).await;
    assert!(give().await.is_empty());
    assert!(f.change(third, json!({"runAt": null})).await.unwrap().unwrap().slots_wanted);
    assert_eq!(give().await, [third]);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_circle_is_refused_however_long_it_is(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let keeper = f.submit(json!({})).await;
    let mut chain = vec![f.submit(json!({"dependsOn": [keeper]})).await];
    for _ in 0..20 {
        chain.push(f.submit(json!({"dependsOn": [chain.last().unwrap()]})).await);
    }
    let before = f.rows(chain[0]).await;
    for end in [chain[0], chain[1], chain[20]] {
        let closed = f.change(chain[0], json!({"dependsOn": [keeper, end]})).await;
        assert!(matches!(closed, Err(ChangeError::DependencyCycle(id)) if id == end), "{closed:?}");
    }
    assert_eq!(f.rows(chain[0]).await, before);
    let stranger = Fixture::new(f.pool.clone()).await.submit(json!({})).await;
    for missing in [stranger, TaskId::new()] {
        let unknown = f.change(chain[0], json!({"dependsOn": [missing]})).await;
        assert!(matches!(unknown, Err(ChangeError::DependencyNotFound(id)) if id == missing), "{unknown:?}");
    }
    f.change(chain[20], json!({"dependsOn": [chain[0]]})).await.unwrap().unwrap();
    f.assert_dependencies_are_counted().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn two_changes_at_once_close_no_circle_together(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let wide = wide(&f.pool);
    let keeper = f.submit(json!({})).await;
    for round in 0..20 {
        let (one, two) =
            (f.submit(json!({"dependsOn": [keeper]})).await, f.submit(json!({"dependsOn": [keeper]})).await);
        let change = |task: TaskId, on: TaskId| {
            let (store, owner) = (testing::store(&wide), f.owner);
            let changes = checked(json!({"version": 1, "dependsOn": [on]}));
            tokio::spawn(async move { store.task_change(owner, task, &changes).await })
        };
        let (first, second) = tokio::join!(change(one, two), change(two, one));
        let outcomes = [first.unwrap(), second.unwrap()];
        let closed = outcomes.iter().filter(|o| matches!(o, Err(ChangeError::DependencyCycle(_)))).count();
        let made = outcomes.iter().filter(|o| matches!(o, Ok(Some(_)))).count();
        assert_eq!((made, closed), (1, 1), "round {round}: {outcomes:?}");
    }
    f.assert_dependencies_are_counted().await;
    wide.close().await;
}

/// The parent ends in the very moment in which the child is told to wait for it.
#[sqlx::test(migrations = "../migrations")]
async fn a_parent_that_ends_meanwhile_leaves_no_child_behind(pool: PgPool) {
    let f = Fixture::new(pool).await;
    for round in 0..60 {
        let (other, attempt) = (f.submit(json!({})).await, f.run(f.submit(json!({})).await).await);
        let child = f.submit(json!({"dependsOn": [other]})).await;
        let finish = async {
            for _ in 0..round % 7 {
                tokio::task::yield_now().await;
            }
            f.complete_all(&[attempt]).await;
        };
        let (_, changed) = tokio::join!(finish, f.change(child, json!({"dependsOn": [attempt.task_id]})));
        changed.unwrap().unwrap();
        // The end may not have seen the edge: it has counted it.
        f.release().await;
        assert_eq!(f.status(child).await, TaskStatus::Queued, "round {round}");
        f.assert_history_gives_status(child).await;
    }
    f.assert_dependencies_are_counted().await;
}
