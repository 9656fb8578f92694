//! The tasks that new ones go on from.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::SubmitError;
use crate::domain::{NewTask, OwnerId, TaskId};

/// Makes sure that the owner has every task that one of `tasks` goes on from, that it works on the same repository, and that
/// it has the checkpoint that is asked for. It may be deleted later all the same.
pub(super) async fn sources_check_in_txn(
    txn: &mut PgConnection,
    owner: OwnerId,
    tasks: &[NewTask],
) -> Result<(), SubmitError> {
    let wanted: BTreeSet<TaskId> =
        tasks.iter().filter_map(|task| task.submission.continue_from_task_id).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = wanted.iter().map(|id| id.uuid()).collect();
    let found = sqlx::query!(
        r#"SELECT id AS "id: TaskId", repository_url FROM tasks WHERE owner_id = $1 AND id = ANY($2)"#,
        owner.uuid(),
        &ids,
    )
    .fetch_all(&mut *txn)
    .await?;
    let repositories: BTreeMap<_, _> = found.into_iter().map(|row| (row.id, row.repository_url)).collect();
    for task in tasks {
        let asked = &task.submission;
        let Some(source) = asked.continue_from_task_id else { continue };
        match repositories.get(&source) {
            None => return Err(SubmitError::SourceNotFound(source)),
            Some(repository) if *repository != asked.repository_url => {
                return Err(SubmitError::SourceElsewhere(source));
            }
            Some(_same) => {}
        }
    }
    checkpoints_check_in_txn(txn, tasks).await
}

async fn checkpoints_check_in_txn(txn: &mut PgConnection, tasks: &[NewTask]) -> Result<(), SubmitError> {
    let wanted: BTreeSet<_> = tasks
        .iter()
        .filter_map(|task| {
            Some((task.submission.continue_from_task_id?, task.submission.checkpoint_sha.as_deref()?))
        })
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let (ids, trees): (Vec<_>, Vec<_>) =
        wanted.iter().map(|(id, tree)| (id.uuid(), (*tree).to_owned())).unzip();
    let missing = sqlx::query_scalar!(
        r#"
        SELECT w.id AS "id!: TaskId" FROM unnest($1::uuid[], $2::text[]) AS w (id, tree)
        WHERE NOT EXISTS (SELECT FROM task_checkpoints c WHERE c.task_id = w.id AND c.tree_id = w.tree)
        LIMIT 1
        "#,
        &ids,
        &trees,
    )
    .fetch_optional(txn)
    .await?;
    missing.map_or(Ok(()), |id| Err(SubmitError::SourceCheckpointNotFound(id)))
}
