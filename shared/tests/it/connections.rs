//! The store's own pool, as a role opens it.

use makima_shared::store::Store;
use serde_json::json;
use sqlx::{ConnectOptions, PgPool};
use tokio::task::JoinSet;

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
