//! Secrets of owners, as the store has them.

use makima_shared::domain::{MAX_SECRETS_OF_OWNER, SecretValue};
use makima_shared::store::{SecretSet, SubmitError};
use makima_shared::testing;
use makima_shared::vault::{OpenError, Vault};
use serde_json::json;
use sqlx::PgPool;

use crate::fixture::{Fixture, new_task};

fn value(text: &str) -> SecretValue {
    SecretValue::parse(text.to_owned()).unwrap()
}

#[sqlx::test(migrations = "../migrations")]
async fn a_secret_is_sealed_in_its_row_and_of_its_owner_alone(pool: PgPool) {
    let store = testing::store(&pool);
    let (owner, other) = (store.owner_ensure("a").await.unwrap(), store.owner_ensure("b").await.unwrap());
    let vault = Vault::parse(&Vault::new_key(), None).unwrap();
    let set = |name: &'static str, text: &'static str| {
        let (store, sealed) = (store.clone(), vault.seal(owner, name, &value(text)));
        async move { store.secret_set(owner, name, &sealed).await.unwrap() }
    };
    assert!(matches!(set("TOKEN", "first value").await, SecretSet::Created(_)));
    assert!(matches!(set("OTHER", "another one").await, SecretSet::Created(_)));
    let SecretSet::Replaced(summary) = set("TOKEN", "second value").await else { panic!("it was there") };
    assert!(summary.updated_at > summary.created_at);
    let names: Vec<_> = store.secrets_list(owner).await.unwrap().into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["OTHER", "TOKEN"]);
    let asked = ["TOKEN".to_owned(), "NONE".to_owned()];
    let found = store.secrets_named(owner, &asked).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(vault.open(owner, "TOKEN", &found[0].sealed).unwrap().expose(), "second value");

    assert!(store.secrets_list(other).await.unwrap().is_empty());
    assert!(store.secrets_named(other, &asked).await.unwrap().is_empty());
    assert!(!store.secret_delete(other, "TOKEN").await.unwrap());

    // Whoever can write the table gains nothing by it.
    sqlx::query("UPDATE owner_secrets a SET nonce = b.nonce, ciphertext = b.ciphertext FROM owner_secrets b WHERE a.name <> b.name")
        .execute(&pool)
        .await
        .unwrap();
    let swapped = store.secrets_named(owner, &asked).await.unwrap();
    assert_eq!(vault.open(owner, "TOKEN", &swapped[0].sealed), Err(OpenError::Damaged));
    assert!(store.secret_delete(owner, "TOKEN").await.unwrap());
    assert!(!store.secret_delete(owner, "TOKEN").await.unwrap());
}

#[sqlx::test(migrations = "../migrations")]
async fn a_secret_that_was_set_meanwhile_is_not_sealed_anew(pool: PgPool) {
    let store = testing::store(&pool);
    let owner = store.owner_ensure("a").await.unwrap();
    let old = Vault::new_key();
    let before = Vault::parse(&old, None).unwrap();
    let after = Vault::parse(&Vault::new_key(), Some(&old)).unwrap();
    store.secret_set(owner, "TOKEN", &before.seal(owner, "TOKEN", &value("the value"))).await.unwrap();
    let names = ["TOKEN".to_owned()];
    let found = store.secrets_named(owner, &names).await.unwrap().remove(0);
    store.secret_reseal(owner, &found, &after.seal(owner, "TOKEN", &value("the value"))).await.unwrap();
    let resealed = store.secrets_named(owner, &names).await.unwrap().remove(0);
    assert!(after.is_current(&resealed.sealed));
    // Somebody who had read it before comes late.
    store.secret_reseal(owner, &found, &after.seal(owner, "TOKEN", &value("a stale value"))).await.unwrap();
    assert_eq!(store.secrets_named(owner, &names).await.unwrap(), [resealed]);
}

#[sqlx::test(migrations = "../migrations")]
async fn an_owner_has_so_many_secrets_and_can_still_change_them(pool: PgPool) {
    let store = testing::store(&pool);
    let owner = store.owner_ensure("a").await.unwrap();
    let vault = Vault::parse(&Vault::new_key(), None).unwrap();
    for number in 0..MAX_SECRETS_OF_OWNER {
        let name = format!("S{number}");
        let set = store.secret_set(owner, &name, &vault.seal(owner, &name, &value("the value"))).await;
        assert!(matches!(set.unwrap(), SecretSet::Created(_)));
    }
    let sealed = vault.seal(owner, "ONE_MORE", &value("the value"));
    assert_eq!(store.secret_set(owner, "ONE_MORE", &sealed).await.unwrap(), SecretSet::TooMany);
    assert!(matches!(store.secret_set(owner, "S0", &sealed).await.unwrap(), SecretSet::Replaced(_)));
}

#[sqlx::test(migrations = "../migrations")]
async fn a_worker_learns_with_the_claim_which_secrets_a_task_names(pool: PgPool) {
    let fixture = Fixture::new(pool).await;
    let secrets = json!(["TOKEN", {"env": "KEY", "secret": "other"}]);
    let vault = Vault::parse(&Vault::new_key(), None).unwrap();
    for name in ["other", "TOKEN"] {
        let refused =
            fixture.store.task_submit(fixture.owner, &new_task(&json!({"secrets": secrets})), None).await;
        assert!(matches!(refused, Err(SubmitError::SecretNotFound(_))), "{refused:?}");
        let sealed = vault.seal(fixture.owner, name, &value("the value"));
        fixture.store.secret_set(fixture.owner, name, &sealed).await.unwrap();
    }
    let task = fixture.submit(json!({"secrets": secrets})).await;
    assert_eq!(json!(fixture.task(task).await.secrets), secrets);
    let worker = fixture.worker().await;
    let claimed = fixture.store.tasks_claim(worker, &[task]).await.unwrap().remove(0);
    assert_eq!(json!(claimed.secrets), secrets);
    let plain = fixture.submit(json!({})).await;
    assert!(fixture.task(plain).await.secrets.is_empty());
}
