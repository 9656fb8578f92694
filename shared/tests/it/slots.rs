//! Limits on what an owner has running.

use makima_shared::domain::{ContractId, TaskId, TaskStatus, Transition};
use makima_shared::testing;
use serde_json::json;
use sqlx::PgPool;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, agent_failure, wide};

async fn limit(f: &Fixture, column: &str, limit: i32) {
    let sql = format!("UPDATE owners SET {column} = $1 WHERE id = $2");
    sqlx::query(sqlx::AssertSqlSafe(sql)).bind(limit).bind(f.owner.uuid()).execute(&f.pool).await.unwrap();
}

async fn give(f: &Fixture) -> Vec<TaskId> {
    let mut given = Vec::new();
    for owner in f.store.owners_with_slots_wanted(None, 10).await.unwrap() {
        given.extend(f.store.slots_give(owner).await.unwrap().into_iter().map(|task| task.id));
    }
    given
}

#[sqlx::test(migrations = "../migrations")]
async fn tasks_over_the_limit_wait_and_the_first_in_line_gets_the_next_slot(pool: PgPool) {
    let f = Fixture::new(pool).await;
    limit(&f, "max_running", 2).await;
    let mut tasks = Vec::new();
    for priority in [10, 90, 50, 50] {
        tasks.push(f.submit(json!({"priority": priority})).await);
    }
    assert!(f.queued().await.is_empty());
    assert!(f.release().await.is_empty(), "a slot is given by one alone");
    assert_eq!(give(&f).await, [tasks[1], tasks[2]]);
    assert!(give(&f).await.is_empty());
    let row = f.task(tasks[3]).await;
    let words = f.store.task_waiting_for(f.owner, &row).await.unwrap().unwrap();
    assert_eq!(words, "one of its owner's running tasks to end: a limit is reached");
    let attempt = f.run(tasks[1]).await;
    assert!(give(&f).await.is_empty(), "a running task holds its slot");
    f.complete(attempt).await;
    assert_eq!(give(&f).await, [tasks[3]]);
    let attempt = f.run(tasks[2]).await;
    f.fail(attempt, agent_failure()).await;
    assert!(f.release().await.is_empty(), "a retry gets in line again");
    assert_eq!(give(&f).await, [tasks[2]], "by its priority");
    let lost = f.apply(tasks[2], &Transition::cancelled()).await;
    assert!(lost.wakes_scheduler);
    assert_eq!(give(&f).await, [tasks[0]]);
    for task in tasks {
        f.assert_history_gives_status(task).await;
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_full_repository_or_contract_keeps_no_other_back(pool: PgPool) {
    let f = Fixture::new(pool).await;
    limit(&f, "max_running_per_repository", 1).await;
    limit(&f, "max_running_per_contract", 1).await;
    let contract = ContractId::new();
    let on =
        |repository: &str| json!({"repositoryUrl": format!("https://host/{repository}.git"), "priority": 90});
    let of_contract = |repository: &str| {
        let mut body = on(repository);
        body["contractId"] = json!(contract);
        body
    };
    let first = f.submit(on("a")).await;
    for _ in 0..3 {
        f.submit(on("a")).await;
    }
    let second = f.submit(of_contract("b")).await;
    f.submit(of_contract("c")).await;
    let third = f.submit(json!({"repositoryUrl": "https://host/d.git"})).await;
    assert_eq!(give(&f).await, [first, second, third]);
}

#[sqlx::test(migrations = "../migrations")]
async fn children_and_retries_of_a_limited_owner_wait_for_a_slot_too(pool: PgPool) {
    let f = Fixture::new(pool).await;
    limit(&f, "max_running", 1).await;
    let parent = f.submit(json!({})).await;
    let child = f.submit(json!({"dependsOn": [parent]})).await;
    assert_eq!(give(&f).await, [parent]);
    let attempt = f.run(parent).await;
    assert!(f.complete_all(&[attempt]).await.is_empty());
    assert_eq!(f.status(child).await, TaskStatus::Pending);
    assert_eq!(give(&f).await, [child]);
    f.assert_dependencies_are_counted().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn two_that_give_at_once_never_exceed_the_limit(pool: PgPool) {
    let f = Fixture::new(pool).await;
    limit(&f, "max_running", 5).await;
    for _ in 0..40 {
        f.submit(json!({})).await;
    }
    let wide = wide(&f.pool);
    let wide_store = testing::store(&wide);
    let mut givers = JoinSet::new();
    for _ in 0..8 {
        let (store, owner) = (wide_store.clone(), f.owner);
        givers.spawn(async move { store.slots_give(owner).await.unwrap().len() });
    }
    assert_eq!(givers.join_all().await.into_iter().sum::<usize>(), 5);
    assert_eq!(f.queued().await.len(), 5);
    wide.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn owners_that_want_slots_are_listed_page_by_page(pool: PgPool) {
    let mut owners = Vec::new();
    for _ in 0..5 {
        let f = Fixture::new(pool.clone()).await;
        limit(&f, "max_running", 1).await;
        f.submit(json!({})).await;
        f.submit(json!({})).await;
        owners.push(f.owner);
    }
    let f = Fixture::new(pool).await;
    f.submit(json!({})).await;
    owners.sort_unstable();
    assert_eq!(f.store.owners_with_slots_wanted(None, 3).await.unwrap(), owners[..3]);
    assert_eq!(f.store.owners_with_slots_wanted(Some(owners[2]), 3).await.unwrap(), owners[3..]);
}
