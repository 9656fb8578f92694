//! Tenants.

use super::{Store, StoreError};
use crate::domain::OwnerId;

impl Store {
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
