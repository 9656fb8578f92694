//! Brings the schema up to date: each migration in a transaction of its own, under a lock that ends with it. The lock that
//! sqlx would take belongs to a session, which a pooler in transaction mode does not keep together.

use sqlx::migrate::{MigrateError, Migrator};

use super::{MIGRATOR, Store, StoreError};

/// The number of the lock: "makima" in ASCII.
const LOCK: i64 = 0x6d61_6b69_6d61;

impl Store {
    /// Brings the schema up to date. Who comes second waits for the first.
    ///
    /// # Errors
    /// PostgreSQL is away, or a migration fails.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let mut migrator = Migrator::with_migrations(MIGRATOR.iter().cloned().collect());
        migrator.set_locking(false);
        for migration in MIGRATOR.iter() {
            self.migrate_to(&migrator, migration.version)
                .await
                .map_err(|error| StoreError::Migration(Box::new(error)))?;
        }
        Ok(())
    }

    async fn migrate_to(&self, migrator: &Migrator, version: i64) -> Result<(), MigrateError> {
        let mut txn = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *txn).await?;
        migrator.run_to(version, &mut *txn).await?;
        txn.commit().await?;
        Ok(())
    }
}
