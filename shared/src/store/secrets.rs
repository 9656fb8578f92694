//! Secrets of owners, sealed: PostgreSQL never sees a value or a key (see [`crate::vault`]).

use chrono::{DateTime, Utc};

use super::{Store, StoreError};
use crate::domain::{MAX_SECRETS_OF_OWNER, OwnerId, SecretSummary};
use crate::vault::SealedSecret;

/// What became of a secret that was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSet {
    /// There was none of the name.
    Created(SecretSummary),
    /// Its value is another one now.
    Replaced(SecretSummary),
    /// The owner has as many as it may have.
    TooMany,
}

/// A secret as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSecret {
    /// Its name.
    pub name: String,
    /// Its value.
    pub sealed: SealedSecret,
}

impl Store {
    /// Sets a secret of an owner.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn secret_set(
        &self,
        owner: OwnerId,
        name: &str,
        sealed: &SealedSecret,
    ) -> Result<SecretSet, StoreError> {
        let row = sqlx::query!(
            r#"
            INSERT INTO owner_secrets AS s (owner_id, name, key_id, nonce, ciphertext)
            SELECT $1, $2, $3, $4, $5
            WHERE (SELECT count(*) FROM owner_secrets WHERE owner_id = $1 AND name <> $2) < $6
            ON CONFLICT (owner_id, name) DO UPDATE
            SET key_id = excluded.key_id, nonce = excluded.nonce, ciphertext = excluded.ciphertext, updated_at = now()
            RETURNING created_at, updated_at, s.xmax = 0 AS "created!"
            "#,
            owner.uuid(),
            name,
            sealed.key_id,
            sealed.nonce,
            sealed.ciphertext,
            i64::from(MAX_SECRETS_OF_OWNER),
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(SecretSet::TooMany) };
        let summary = summary(name.to_owned(), row.created_at, row.updated_at);
        Ok(if row.created { SecretSet::Created(summary) } else { SecretSet::Replaced(summary) })
    }

    /// Lists an owner's secrets by name, without their values.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn secrets_list(&self, owner: OwnerId) -> Result<Vec<SecretSummary>, StoreError> {
        let secrets = sqlx::query_as!(
            SecretSummary,
            "SELECT name, created_at, updated_at FROM owner_secrets WHERE owner_id = $1 ORDER BY name",
            owner.uuid(),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(secrets)
    }

    /// Deletes a secret of an owner. Returns whether there was such a one.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn secret_delete(&self, owner: OwnerId, name: &str) -> Result<bool, StoreError> {
        let deleted =
            sqlx::query!("DELETE FROM owner_secrets WHERE owner_id = $1 AND name = $2", owner.uuid(), name)
                .execute(&self.pool)
                .await?;
        Ok(deleted.rows_affected() == 1)
    }

    /// Returns those of an owner's secrets that have one of these names.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn secrets_named(
        &self,
        owner: OwnerId,
        names: &[String],
    ) -> Result<Vec<StoredSecret>, StoreError> {
        let rows = sqlx::query!(
            "SELECT name, key_id, nonce, ciphertext FROM owner_secrets WHERE owner_id = $1 AND name = ANY($2)",
            owner.uuid(),
            names,
        )
        .fetch_all(&self.pool)
        .await?;
        let stored = rows.into_iter().map(|row| StoredSecret {
            name: row.name,
            sealed: SealedSecret { key_id: row.key_id, nonce: row.nonce, ciphertext: row.ciphertext },
        });
        Ok(stored.collect())
    }

    /// Puts a value that was sealed anew in the place of the one that it was opened from; not of one that was set
    /// meanwhile.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn secret_reseal(
        &self,
        owner: OwnerId,
        before: &StoredSecret,
        sealed: &SealedSecret,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            UPDATE owner_secrets SET key_id = $4, nonce = $5, ciphertext = $6
            WHERE owner_id = $1 AND name = $2 AND nonce = $3
            "#,
            owner.uuid(),
            before.name,
            before.sealed.nonce,
            sealed.key_id,
            sealed.nonce,
            sealed.ciphertext,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

fn summary(name: String, created_at: DateTime<Utc>, updated_at: DateTime<Utc>) -> SecretSummary {
    SecretSummary { name, created_at, updated_at }
}
