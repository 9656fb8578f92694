//! What an owner may have, and what becomes of its tasks when that changes.
//!
//! A limit counts what is released from then on and what was released before; of the latter nothing is taken back. The
//! owner's row is the lock of its slots (`tasks/slots.rs`). A task that is released in the very moment in which the
//! first limit is set may go uncounted until its attempt ends.

use sqlx::PgConnection;

use crate::domain::{OwnerChanges, OwnerId, OwnerSettings};
use crate::store::{Store, StoreError};

impl Store {
    /// Lists all owners by their names.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn owners_list(&self) -> Result<Vec<OwnerSettings>, StoreError> {
        let owners = sqlx::query_as!(
            OwnerSettings,
            r#"
            SELECT id AS "id: OwnerId", name, weight, max_running, max_running_per_contract, max_running_per_repository,
                   submissions_per_minute
            FROM owners ORDER BY name
            "#,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(owners)
    }

    /// Changes what the owner of that name may have, and gives its tasks slots or takes them away accordingly. `None`
    /// if there is no such owner.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn owner_change(
        &self,
        name: &str,
        changes: &OwnerChanges,
    ) -> Result<Option<OwnerSettings>, StoreError> {
        let mut txn = self.pool.begin().await?;
        let before = sqlx::query!(
            r#"SELECT id AS "id: OwnerId", limited AS "limited!" FROM owners WHERE name = $1 FOR NO KEY UPDATE"#,
            name,
        )
        .fetch_optional(&mut *txn)
        .await?;
        let Some(before) = before else { return Ok(None) };
        let settings = settings_write_in_txn(&mut txn, before.id, changes).await?;
        let is_limited = settings.max_running.is_some()
            || settings.max_running_per_contract.is_some()
            || settings.max_running_per_repository.is_some();
        match (before.limited, is_limited) {
            (false, true) => slots_hold_in_txn(&mut txn, before.id).await?,
            (true, false) => slots_drop_in_txn(&mut txn, before.id).await?,
            (true, true) | (false, false) => {}
        }
        txn.commit().await?;
        Ok(Some(settings))
    }
}

async fn settings_write_in_txn(
    txn: &mut PgConnection,
    owner: OwnerId,
    changes: &OwnerChanges,
) -> Result<OwnerSettings, sqlx::Error> {
    sqlx::query_as!(
        OwnerSettings,
        r#"
        UPDATE owners SET
            weight = coalesce($2, weight),
            max_running = CASE WHEN $3 THEN $4 ELSE max_running END,
            max_running_per_contract = CASE WHEN $5 THEN $6 ELSE max_running_per_contract END,
            max_running_per_repository = CASE WHEN $7 THEN $8 ELSE max_running_per_repository END,
            submissions_per_minute = CASE WHEN $9 THEN $10 ELSE submissions_per_minute END
        WHERE id = $1
        RETURNING id AS "id: OwnerId", name, weight, max_running, max_running_per_contract, max_running_per_repository,
                  submissions_per_minute
        "#,
        owner.uuid(),
        changes.weight,
        changes.max_running.is_some(),
        changes.max_running.flatten(),
        changes.max_running_per_contract.is_some(),
        changes.max_running_per_contract.flatten(),
        changes.max_running_per_repository.is_some(),
        changes.max_running_per_repository.flatten(),
        changes.submissions_per_minute.is_some(),
        changes.submissions_per_minute.flatten(),
    )
    .fetch_one(txn)
    .await
}

/// The owner has its first limit: what was released before holds a slot, so that it counts. What is pending and free gets in
/// line when it is promoted.
async fn slots_hold_in_txn(txn: &mut PgConnection, owner: OwnerId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        WITH released AS (
            SELECT id FROM tasks
            WHERE owner_id = $1 AND status IN ('queued', 'starting', 'running') AND slot = 'none'
            ORDER BY id FOR NO KEY UPDATE
        )
        UPDATE tasks t SET slot = 'held' FROM released WHERE t.id = released.id
        "#,
        owner.uuid(),
    )
    .execute(txn)
    .await?;
    Ok(())
}

/// The owner has no limit any more: what waited for a slot is free.
async fn slots_drop_in_txn(txn: &mut PgConnection, owner: OwnerId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        WITH counted AS (
            SELECT id FROM tasks WHERE owner_id = $1 AND slot <> 'none' ORDER BY id FOR NO KEY UPDATE
        )
        UPDATE tasks t SET slot = 'none', not_before = CASE WHEN t.slot = 'waiting' THEN now() ELSE t.not_before END
        FROM counted WHERE t.id = counted.id
        "#,
        owner.uuid(),
    )
    .execute(txn)
    .await?;
    Ok(())
}
