//! Tenants.

mod settings;

use super::{Store, StoreError};
use crate::domain::OwnerId;

impl Store {
    /// Returns what an owner is called.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn owner_name(&self, owner: OwnerId) -> Result<Option<String>, StoreError> {
        let name = sqlx::query_scalar!("SELECT name FROM owners WHERE id = $1", owner.uuid());
        Ok(name.fetch_optional(&self.pool).await?)
    }

    /// Returns the owner of that name, made if there is none yet.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn owner_ensure(&self, name: &str) -> Result<OwnerId, StoreError> {
        // The update changes nothing. It is there for its answer: a row that somebody else makes at the same moment is none
        // that this statement could select.
        let id = sqlx::query_scalar!(
            r#"
            INSERT INTO owners (id, name) VALUES ($1, $2)
            ON CONFLICT (name) DO UPDATE SET name = EXCLUDED.name
            RETURNING id AS "id: OwnerId"
            "#,
            OwnerId::new().uuid(),
            name,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(id)
    }
}
