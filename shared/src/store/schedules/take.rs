//! The task of a schedule, on the same way in as every other.

use sqlx::{Acquire, Postgres, Transaction};

use crate::domain::{NewTask, OwnerId};
use crate::store::tasks::tasks_insert_in_txn;
use crate::store::{AcceptedTask, SubmitError};

/// Submits a task. If it is refused, the transaction stands as before and may go on.
pub(super) async fn task_take_in_txn(
    txn: &mut Transaction<'_, Postgres>,
    owner: OwnerId,
    task: &NewTask,
) -> Result<AcceptedTask, SubmitError> {
    let mut savepoint = txn.begin().await?;
    match tasks_insert_in_txn(&mut savepoint, owner, std::slice::from_ref(task), None).await {
        Ok(created) => {
            savepoint.commit().await?;
            created.and_then(|mut created| created.pop()).ok_or_else(|| sqlx::Error::RowNotFound.into())
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
    tasks_insert_in_txn(&mut savepoint, owner, std::slice::from_ref(task), None).await?;
    savepoint.rollback().await?;
    Ok(())
}
