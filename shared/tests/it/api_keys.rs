//! Owners and their keys.

use makima_shared::testing;
use sqlx::PgPool;
use tokio::task::JoinSet;

use crate::fixture::wide;

#[sqlx::test(migrations = "../migrations")]
async fn a_key_names_its_owner_until_it_is_revoked(pool: PgPool) {
    let store = testing::store(&pool);
    let (one, two) = (store.owner_ensure("one").await.unwrap(), store.owner_ensure("two").await.unwrap());
    let (first, second) =
        (store.api_key_create(one, "a").await.unwrap(), store.api_key_create(two, "a").await.unwrap());
    assert_ne!(first, second);
    let owner = |secret: String| {
        let store = store.clone();
        async move { store.api_key_authenticate(&secret).await.unwrap().map(|caller| caller.owner_id) }
    };
    assert_eq!((owner(first.clone()).await, owner(second.clone()).await), (Some(one), Some(two)));
    for stranger in ["", "mk_", &first[..first.len() - 1], &first.to_uppercase()] {
        assert_eq!(owner(stranger.to_owned()).await, None);
    }
    sqlx::query("UPDATE api_keys SET revoked_at = now() WHERE owner_id = $1")
        .bind(one)
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!((owner(first).await, owner(second).await), (None, Some(two)));
}

#[sqlx::test(migrations = "../migrations")]
async fn only_a_key_that_was_made_for_an_operator_is_one(pool: PgPool) {
    let store = testing::store(&pool);
    let owner = store.owner_ensure("one").await.unwrap();
    let (plain, operator) = (
        store.api_key_create(owner, "a").await.unwrap(),
        store.operator_key_create(owner, "b").await.unwrap(),
    );
    assert!(!store.api_key_authenticate(&plain).await.unwrap().unwrap().operator);
    assert!(store.api_key_authenticate(&operator).await.unwrap().unwrap().operator);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_secret_has_256_bits_and_is_stored_nowhere(pool: PgPool) {
    let store = testing::store(&pool);
    let owner = store.owner_ensure("one").await.unwrap();
    let secret = store.api_key_create(owner, "a").await.unwrap();
    let digits = secret.strip_prefix("mk_").unwrap();
    assert!(digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let row: String =
        sqlx::query_scalar("SELECT to_jsonb(k)::text FROM api_keys k").fetch_one(&pool).await.unwrap();
    assert!(!row.contains(digits));
}

#[sqlx::test(migrations = "../migrations")]
async fn an_owner_is_made_once_however_many_ask_at_once(pool: PgPool) {
    let wide = wide(&pool);
    let wide_store = testing::store(&wide);
    for round in 0..30 {
        let mut asking = JoinSet::new();
        for _ in 0..12 {
            let store = wide_store.clone();
            asking.spawn(async move { store.owner_ensure(&format!("owner {round}")).await.unwrap() });
        }
        let ids = asking.join_all().await;
        assert!(ids.iter().all(|id| *id == ids[0]));
    }
    wide.close().await;
}
