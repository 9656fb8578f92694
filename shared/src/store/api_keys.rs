//! API keys: made once, shown once, stored as a hash.

use sha2::{Digest, Sha256};

use super::{Store, StoreError};
use crate::domain::{ApiKeyId, OwnerId};

/// Who sent a request.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The owner whose rows the request may touch.
    pub owner_id: OwnerId,
    /// The key that it came with.
    pub key_id: ApiKeyId,
    /// It may see how much every owner has to do.
    pub operator: bool,
    /// How many tasks a minute its owner may submit; any number if none.
    pub submissions_per_minute: Option<i32>,
}

impl Store {
    /// Makes a key for an owner and returns its secret, which is stored nowhere.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn api_key_create(&self, owner: OwnerId, name: &str) -> Result<String, StoreError> {
        self.api_key_insert(owner, name, false).await
    }

    /// Makes a key for an owner who also looks after the whole installation.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn operator_key_create(&self, owner: OwnerId, name: &str) -> Result<String, StoreError> {
        self.api_key_insert(owner, name, true).await
    }

    async fn api_key_insert(&self, owner: OwnerId, name: &str, operator: bool) -> Result<String, StoreError> {
        let secret = new_secret();
        let digest = digest(&secret);
        sqlx::query!(
            "INSERT INTO api_keys (id, owner_id, name, key_sha256, operator) VALUES ($1, $2, $3, $4, $5)",
            ApiKeyId::new().uuid(),
            owner.uuid(),
            name,
            digest.as_slice(),
            operator,
        )
        .execute(&self.pool)
        .await?;
        Ok(secret)
    }

    /// Finds out whose key it is; `None` for a key that does not exist or was revoked.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn api_key_authenticate(&self, secret: &str) -> Result<Option<Caller>, StoreError> {
        let digest = digest(secret);
        let caller = sqlx::query_as!(
            Caller,
            r#"
            SELECT k.owner_id AS "owner_id: OwnerId", k.id AS "key_id: ApiKeyId", k.operator, o.submissions_per_minute
            FROM api_keys k JOIN owners o ON o.id = k.owner_id
            WHERE k.key_sha256 = $1 AND k.revoked_at IS NULL
            "#,
            digest.as_slice(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(caller)
    }
}

/// Returns `mk_` and 256 random bits in hexadecimal.
fn new_secret() -> String {
    let bytes: [u8; 32] = rand::random();
    bytes.iter().fold("mk_".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
