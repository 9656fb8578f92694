//! Leadership by a lease: a row and the database's clock, so that it works behind a pooler in transaction mode too.

use std::time::Duration;

use uuid::Uuid;

use super::{Store, StoreError};

/// Shows that its holder led when it was made. What must not run twice at a time asks for one.
#[derive(Debug)]
pub struct LeaderProof {
    _private: (),
}

impl Store {
    /// Takes or renews the lead of a duty; `None` while somebody else has it.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn leader_acquire(
        &self,
        duty: &str,
        holder: Uuid,
        lease: Duration,
    ) -> Result<Option<LeaderProof>, StoreError> {
        let row = sqlx::query!(
            r#"
            INSERT INTO leader_leases (duty, holder, expires_at)
            VALUES ($1, $2, now() + make_interval(secs => $3))
            ON CONFLICT (duty) DO UPDATE SET holder = EXCLUDED.holder, expires_at = EXCLUDED.expires_at
                WHERE leader_leases.holder = EXCLUDED.holder OR leader_leases.expires_at < now()
            RETURNING duty
            "#,
            duty,
            holder,
            lease.as_secs_f64(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|_row| LeaderProof { _private: () }))
    }

    /// Gives the lead up, so that another one can take it at once.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn leader_release(&self, duty: &str, holder: Uuid) -> Result<(), StoreError> {
        sqlx::query!("DELETE FROM leader_leases WHERE duty = $1 AND holder = $2", duty, holder)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
