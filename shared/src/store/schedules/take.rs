//! The task of a schedule, on the same way in as every other.

use sqlx::{Acquire, PgConnection, Postgres, Transaction};

use crate::domain::{NewTask, OwnerId, TaskId, TaskSubmission, WorkerId};
use crate::store::tasks::task_insert_in_txn;
use crate::store::{ReadyTask, SubmitError};

/// Submits a task. If it is refused, the transaction stands as before and may go on.
pub(super) async fn task_take_in_txn(
    txn: &mut Transaction<'_, Postgres>,
    owner: OwnerId,
    submission: &TaskSubmission,
) -> Result<TaskId, SubmitError> {
    let mut savepoint = txn.begin().await?;
    match task_insert_in_txn(&mut savepoint, owner, submission).await {
        Ok(id) => {
            savepoint.commit().await?;
            Ok(id)
        }
        Err(error) => {
            savepoint.rollback().await?;
            Err(error)
        }
    }
}

/// Finds out whether a task could be submitted now.
pub(super) async fn task_try_in_txn(
    txn: &mut Transaction<'_, Postgres>,
    owner: OwnerId,
    task: &NewTask,
) -> Result<(), SubmitError> {
    let mut savepoint = txn.begin().await?;
    task_insert_in_txn(&mut savepoint, owner, &task.submission).await?;
    savepoint.rollback().await?;
    Ok(())
}

/// Returns what the queue needs to know of a task, if it is queued.
pub(super) async fn task_ready_in_txn(
    txn: &mut PgConnection,
    task: TaskId,
) -> Result<Option<ReadyTask>, sqlx::Error> {
    sqlx::query_as!(
        ReadyTask,
        r#"
        SELECT id AS "id: TaskId", priority, queued_at AS "queued_at!",
               excluded_worker_ids AS "excluded_worker_ids: Vec<WorkerId>"
        FROM tasks WHERE id = $1 AND status = 'queued'
        "#,
        task.uuid(),
    )
    .fetch_optional(txn)
    .await
}
