//! The store's own pool, as a role opens it.

use std::time::Duration;

use makima_shared::store::Store;
use serde_json::json;
use sqlx::{ConnectOptions, PgPool};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::fixture::{Fixture, created, new_task};

/// A connection that is kept at hand for the next statement must not be missing where a transaction needs one.
#[sqlx::test(migrations = "../migrations")]
async fn statements_and_transactions_share_the_fewest_connections(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let parent = f.submit(json!({})).await;
    for connections in 1..=3 {
        let url = f.pool.connect_options().to_url_lossy();
        let store = Store::open(url.as_str(), connections, "makima-test").unwrap();
        let mut all = JoinSet::new();
        for _ in 0..4 {
            let (store, owner) = (store.clone(), f.owner);
            all.spawn(async move {
                for _ in 0..20 {
                    store.ping().await.unwrap();
                    // What waits for another task is submitted in a transaction of several statements.
                    let child = new_task(&json!({"dependsOn": [parent]}));
                    let child = created(store.task_submit(owner, &child, None).await.unwrap()).id;
                    assert!(store.task_get(owner, child).await.unwrap().is_some());
                }
            });
        }
        all.join_all().await;
        store.close().await;
        assert!(store.ping().await.is_err(), "nothing is at hand after the end");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn statements_leave_no_more_than_one_task_behind(pool: PgPool) {
    let store = Store::open(pool.connect_options().to_url_lossy().as_str(), 2, "makima-test").unwrap();
    let before = Handle::current().metrics().num_alive_tasks();
    for _ in 0..500 {
        store.ping().await.unwrap();
    }
    let left = Handle::current().metrics().num_alive_tasks() - before;
    // One gives connections back when it is time, and some may be on their way back.
    assert!(left < 10, "{left} tasks after 500 statements");
    store.close().await;
}

/// Both look at the pool before either has taken anything out of it.
#[sqlx::test(migrations = "../migrations")]
async fn of_two_transactions_that_begin_at_once_none_waits_for_the_connection_at_hand(pool: PgPool) {
    let f = Fixture::new(pool).await;
    let (held, free) = (f.submit(json!({})).await, f.submit(json!({})).await);
    let mut other = f.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM tasks WHERE id = $1 FOR UPDATE").bind(held).execute(&mut *other).await.unwrap();
    let store = Store::open(f.pool.connect_options().to_url_lossy().as_str(), 2, "makima-test").unwrap();
    store.ping().await.unwrap();
    let begun = Instant::now();
    let submit = |parent| {
        let store = store.clone();
        async move {
            let child = new_task(&json!({"dependsOn": [parent]}));
            created(store.task_submit(f.owner, &child, None).await.unwrap());
            begun.elapsed()
        }
    };
    let release = async {
        sleep(Duration::from_millis(1_500)).await; // why: the first transaction goes on for so long
        other.rollback().await.unwrap();
    };
    let (_long, short, ()) = tokio::join!(submit(held), submit(free), release);
    assert!(short < Duration::from_millis(500), "it had to wait for {short:?}");
    store.close().await;
}
