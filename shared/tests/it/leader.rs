//! One leads.

use std::time::Duration;

use makima_shared::testing;
use sqlx::PgPool;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::fixture::{HOUR, wide};

#[sqlx::test(migrations = "../migrations")]
async fn one_of_many_at_a_time_leads(pool: PgPool) {
    let wide = wide(&pool);
    let store = testing::store(&wide);
    for _ in 0..20 {
        let mut candidates = JoinSet::new();
        for _ in 0..8 {
            let (store, me) = (store.clone(), Uuid::now_v7());
            candidates
                .spawn(async move { (me, store.leader_acquire("duty", me, HOUR).await.unwrap().is_some()) });
        }
        let leaders: Vec<_> =
            candidates.join_all().await.into_iter().filter(|(_, leads)| *leads).map(|(me, _)| me).collect();
        assert_eq!(leaders.len(), 1);
        assert!(store.leader_acquire("duty", leaders[0], HOUR).await.unwrap().is_some());
        store.leader_release("duty", leaders[0]).await.unwrap();
    }
    wide.close().await;
}

#[sqlx::test(migrations = "../migrations")]
async fn the_lead_is_free_at_once_when_it_is_given_up_and_when_its_lease_is_over(pool: PgPool) {
    let store = testing::store(&pool);
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    let leads = |who, lease| {
        let store = store.clone();
        async move { store.leader_acquire("duty", who, lease).await.unwrap().is_some() }
    };
    assert!(leads(one, HOUR).await);
    assert!(!leads(two, HOUR).await);
    // Somebody else's word frees nothing.
    store.leader_release("duty", two).await.unwrap();
    assert!(!leads(two, HOUR).await);
    store.leader_release("duty", one).await.unwrap();
    assert!(leads(two, Duration::ZERO).await);
    assert!(leads(one, HOUR).await);
    assert!(!leads(two, HOUR).await);
    assert!(store.leader_acquire("another duty", two, HOUR).await.unwrap().is_some());
}
