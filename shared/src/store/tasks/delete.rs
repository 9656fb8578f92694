//! Deleting a task, with all that belongs to it.
//!
//! An attempt that still works on it finds no row that its epoch would fit, so each of its writes is stale. A task with many
//! events leaves them behind: nobody can reach them any more, and the scheduler deletes them bit by bit.

use sqlx::PgConnection;

use super::graph::{DEADLOCK_TRIES, graph_lock_in_txn, parents_in_txn, status_in_txn, tasks_lock_in_txn};
use crate::domain::{DependencyState, Epoch, OwnerId, TaskId, TaskStatus, WorkerId};
use crate::store::{Store, StoreError};

/// The most events that go with their task in one transaction: a few hundredths of a second.
const EVENTS_AT_ONCE: i64 = 5_000;
/// How many of the tasks that keep one from being deleted are named.
const NAMED: i64 = 5;

/// A task that is gone, for those who have to hear of it.
#[derive(Clone, Debug)]
pub struct DeletedTask {
    /// The worker that held it.
    pub held_by: Option<WorkerId>,
    /// Its last epoch.
    pub epoch: Epoch,
    /// What it asked a worker for.
    pub labels: Vec<String>,
    /// It held a slot of a limited owner.
    pub held_slot: bool,
    /// The number of its last event.
    pub sequence: i64,
}

/// Why a task was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The owner has no such task.
    #[error("there is no such task")]
    NotFound,
    /// Tasks wait for it, these among them.
    #[error("other tasks wait for the task")]
    HasDependents(Vec<DependencyState>),
    /// PostgreSQL is away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for DeleteError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Deletes one of the owner's tasks, wherever it stands, unless a pending task waits for it. Tasks that were released or
    /// ended lose the edge to it; its parts become tasks by themselves.
    ///
    /// # Errors
    /// See [`DeleteError`]. If PostgreSQL fails, whether the task was deleted is not known; trying again is safe.
    pub async fn task_delete(&self, owner: OwnerId, task: TaskId) -> Result<DeletedTask, DeleteError> {
        for _ in 1..DEADLOCK_TRIES {
            match self.task_delete_once(owner, task).await {
                Err(DeleteError::Store(error)) if error.is_deadlock() => {}
                outcome => return outcome,
            }
        }
        self.task_delete_once(owner, task).await
    }

    async fn task_delete_once(&self, owner: OwnerId, task: TaskId) -> Result<DeletedTask, DeleteError> {
        let mut txn = self.pool.begin().await?;
        graph_lock_in_txn(&mut txn, owner).await?;
        status_in_txn(&mut txn, owner, task).await?.ok_or(DeleteError::NotFound)?;
        let parents = parents_in_txn(&mut txn, task).await?;
        tasks_lock_in_txn(&mut txn, owner, &parents).await?;
        let deleted = hold_in_txn(&mut txn, task).await?.ok_or(DeleteError::NotFound)?;
        let dependents = dependents_in_txn(&mut txn, task).await?;
        if !dependents.is_empty() {
            return Err(DeleteError::HasDependents(dependents));
        }
        edges_delete_in_txn(&mut txn, task).await?;
        sqlx::query!("DELETE FROM attempts WHERE task_id = $1", task.uuid()).execute(&mut *txn).await?;
        sqlx::query!("DELETE FROM tasks WHERE id = $1", task.uuid()).execute(&mut *txn).await?;
        events_delete_in_txn(&mut txn, task, deleted.sequence).await?;
        txn.commit().await?;
        Ok(deleted)
    }
}

async fn hold_in_txn(txn: &mut PgConnection, task: TaskId) -> Result<Option<DeletedTask>, sqlx::Error> {
    sqlx::query_as!(
        DeletedTask,
        r#"
        SELECT worker_id AS "held_by: WorkerId", epoch AS "epoch: Epoch", labels, slot = 'held' AS "held_slot!",
               last_sequence AS sequence
        FROM tasks WHERE id = $1 FOR UPDATE
        "#,
        task.uuid(),
    )
    .fetch_optional(txn)
    .await
}

/// Lists some of the pending tasks that wait for a task.
async fn dependents_in_txn(
    txn: &mut PgConnection,
    task: TaskId,
) -> Result<Vec<DependencyState>, sqlx::Error> {
    sqlx::query_as!(
        DependencyState,
        r#"
        SELECT c.id AS "id: TaskId", c.name, c.status AS "status: TaskStatus"
        FROM task_dependencies d JOIN tasks c ON c.id = d.task_id
        WHERE d.depends_on_task_id = $1 AND NOT d.satisfied AND c.status = 'pending'
        ORDER BY c.id LIMIT $2
        "#,
        task.uuid(),
        NAMED,
    )
    .fetch_all(txn)
    .await
}

/// Deletes all edges of a task, and counts the open ones out: at its parents, which are locked, and at its children, none of
/// which is pending.
async fn edges_delete_in_txn(txn: &mut PgConnection, task: TaskId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        WITH child AS (
            SELECT c.id FROM task_dependencies d JOIN tasks c ON c.id = d.task_id
            WHERE d.depends_on_task_id = $1 AND NOT d.satisfied
            ORDER BY c.id
            FOR NO KEY UPDATE OF c
        )
        UPDATE tasks c SET undone_parents = greatest(c.undone_parents - 1, 0) FROM child WHERE c.id = child.id
        "#,
        task.uuid(),
    )
    .execute(&mut *txn)
    .await?;
    sqlx::query!(
        r#"
        WITH edge AS (
            DELETE FROM task_dependencies WHERE task_id = $1 OR depends_on_task_id = $1
            RETURNING depends_on_task_id AS id, satisfied
        )
        UPDATE tasks p SET open_children = greatest(p.open_children - 1, 0)
        FROM edge WHERE p.id = edge.id AND p.id <> $1 AND NOT edge.satisfied
        "#,
        task.uuid(),
    )
    .execute(txn)
    .await?;
    Ok(())
}

async fn events_delete_in_txn(txn: &mut PgConnection, task: TaskId, newest: i64) -> Result<(), sqlx::Error> {
    if newest <= EVENTS_AT_ONCE {
        sqlx::query!("DELETE FROM task_events WHERE task_id = $1", task.uuid()).execute(txn).await?;
    } else {
        sqlx::query!("INSERT INTO deleted_tasks (id) VALUES ($1)", task.uuid()).execute(txn).await?;
    }
    Ok(())
}
