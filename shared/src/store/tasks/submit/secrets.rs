//! The secrets that new and changed tasks name.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use crate::domain::{OwnerId, TaskSecret};

/// Returns a secret out of `named` that the owner does not have. One that is there may be deleted later all the same.
pub(in crate::store::tasks) async fn secret_missing_in_txn(
    txn: &mut PgConnection,
    owner: OwnerId,
    named: impl IntoIterator<Item = &TaskSecret>,
) -> Result<Option<String>, sqlx::Error> {
    let wanted: BTreeSet<&str> = named.into_iter().map(TaskSecret::secret).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    let wanted: Vec<_> = wanted.into_iter().map(str::to_owned).collect();
    sqlx::query_scalar!(
        r#"
        SELECT w.name AS "name!" FROM unnest($2::text[]) AS w (name)
        WHERE NOT EXISTS (SELECT FROM owner_secrets s WHERE s.owner_id = $1 AND s.name = w.name)
        LIMIT 1
        "#,
        owner.uuid(),
        &wanted,
    )
    .fetch_optional(txn)
    .await
}
