//! The secrets that new tasks name.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::SubmitError;
use crate::domain::{NewTask, OwnerId, TaskSecret};

/// Makes sure that the owner has every secret that one of `tasks` names. It may be deleted later all the same.
pub(super) async fn secrets_check_in_txn(
    txn: &mut PgConnection,
    owner: OwnerId,
    tasks: &[NewTask],
) -> Result<(), SubmitError> {
    let named = tasks.iter().flat_map(|task| &task.submission.secrets);
    let wanted: BTreeSet<&str> = named.map(TaskSecret::secret).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let wanted: Vec<_> = wanted.into_iter().map(str::to_owned).collect();
    let missing = sqlx::query_scalar!(
        r#"
        SELECT w.name AS "name!" FROM unnest($2::text[]) AS w (name)
        WHERE NOT EXISTS (SELECT FROM owner_secrets s WHERE s.owner_id = $1 AND s.name = w.name)
        LIMIT 1
        "#,
        owner.uuid(),
        &wanted,
    )
    .fetch_optional(txn)
    .await?;
    missing.map_or(Ok(()), |name| Err(SubmitError::SecretNotFound(name)))
}
