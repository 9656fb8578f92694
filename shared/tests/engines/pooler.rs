//! PostgreSQL through PgBouncer in transaction mode.

use makima_shared::store::{PoolerError, Store};
use makima_shared::testing;
use sqlx::PgPool;
use url::Url;

/// The pooler's URL for a test's database, with parameters taken out.
fn pooler_without(pool: &PgPool, parameters: &[&str]) -> Store {
    let mut url = Url::parse(&std::env::var("MAKIMA_TEST_POOLER").unwrap()).unwrap();
    let kept: Vec<_> =
        url.query_pairs().into_owned().filter(|(key, _)| !parameters.contains(&key.as_str())).collect();
    url.query_pairs_mut().clear().extend_pairs(kept);
    url.set_path(pool.connect_options().get_database().unwrap());
    Store::open(url.as_str(), 4, "makima-test").unwrap()
}

#[sqlx::test(migrations = false)]
async fn two_migrate_at_once_and_leave_no_lock_behind(pool: PgPool) {
    let (one, two) = (testing::store(&pool), testing::store(&pool));
    let (first, second) = tokio::join!(one.migrate(), two.migrate());
    first.unwrap();
    second.unwrap();
    one.owner_ensure("somebody").await.unwrap();
    let locks = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'");
    assert_eq!(locks.fetch_one(&pool).await.unwrap(), 0);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_pooler_is_found_out_when_the_url_does_not_tell_of_it(pool: PgPool) {
    pooler_without(&pool, &[]).check_pooler().await.unwrap();
    Store::open(&direct(&pool), 2, "makima-test").unwrap().check_pooler().await.unwrap();
    let untold = pooler_without(&pool, &["pgbouncer"]).check_pooler().await;
    assert!(matches!(untold, Err(PoolerError::Untold)), "{untold:?}");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_pooler_of_an_unknown_authority_is_refused(pool: PgPool) {
    pooler_without(&pool, &[]).ping().await.unwrap();
    assert!(pooler_without(&pool, &["sslrootcert"]).ping().await.is_err());
}

/// What a transaction leaves on its server connection: many clients over few connections, each with statements of its own.
#[sqlx::test(migrations = "../migrations")]
async fn many_clients_share_few_server_connections(pool: PgPool) {
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..12 {
        let store = pooler_without(&pool, &[]);
        clients.spawn(async move {
            for round in 0..20 {
                let owner = store.owner_ensure(&format!("{client}")).await.unwrap();
                let key = store.api_key_create(owner, &format!("{round}")).await.unwrap();
                assert_eq!(store.api_key_authenticate(&key).await.unwrap().unwrap().owner_id, owner);
                store.ping().await.unwrap();
            }
        });
    }
    clients.join_all().await;
}

fn direct(pool: &PgPool) -> String {
    let mut url = Url::parse(&std::env::var("DATABASE_URL").unwrap()).unwrap();
    url.set_path(pool.connect_options().get_database().unwrap());
    url.into()
}
