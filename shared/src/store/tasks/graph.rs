//! The graph of dependencies between tasks that exist already.
//!
//! A new task brings its edges along (`submit.rs`), and edges are satisfied where their parents end. Everything else that
//! happens to an edge happens under the lock of its owner's row: two changes cannot close a circle together, and what one of
//! them reads of the graph stays as it is. Tasks are locked from parents to children, parents in the order of their ids, as
//! everywhere; where that meets a deadlock all the same, the whole transaction is tried again.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{DependencyState, OwnerId, TaskId, TaskStatus};
use crate::store::StoreError;

/// How often a transaction that met a deadlock is tried.
pub(super) const DEADLOCK_TRIES: u32 = 3;

impl StoreError {
    /// Tells whether the same transaction may do better at once.
    pub(super) fn is_deadlock(&self) -> bool {
        let Self::Unavailable(sqlx::Error::Database(error)) = self else { return false };
        error.code().as_deref() == Some("40P01")
    }
}

/// Locks the edges of an owner's tasks against all other changes. Submissions, claims and ends go on meanwhile.
pub(super) async fn graph_lock_in_txn(txn: &mut PgConnection, owner: OwnerId) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!("SELECT id FROM owners WHERE id = $1 FOR NO KEY UPDATE", owner.uuid())
        .fetch_optional(txn)
        .await?;
    Ok(())
}

/// Returns where one of the owner's tasks stands, without a lock.
pub(super) async fn status_in_txn(
    txn: &mut PgConnection,
    owner: OwnerId,
    task: TaskId,
) -> Result<Option<TaskStatus>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT status AS "status: TaskStatus" FROM tasks WHERE owner_id = $1 AND id = $2"#,
        owner.uuid(),
        task.uuid(),
    )
    .fetch_optional(txn)
    .await
}

/// Returns the tasks that a task depends on, in the order of their ids.
pub(super) async fn parents_in_txn(txn: &mut PgConnection, task: TaskId) -> Result<Vec<TaskId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        SELECT depends_on_task_id AS "id: TaskId" FROM task_dependencies
        WHERE task_id = $1 ORDER BY depends_on_task_id
        "#,
        task.uuid(),
    )
    .fetch_all(txn)
    .await
}

/// Locks those of the given tasks that the owner has, and returns them.
pub(super) async fn tasks_lock_in_txn(
    txn: &mut PgConnection,
    owner: OwnerId,
    tasks: &[TaskId],
) -> Result<Vec<TaskId>, sqlx::Error> {
    let ids: Vec<_> = tasks.iter().map(|id| id.uuid()).collect();
    sqlx::query_scalar!(
        r#"
        SELECT id AS "id: TaskId" FROM tasks WHERE owner_id = $1 AND id = ANY($2) ORDER BY id FOR NO KEY UPDATE
        "#,
        owner.uuid(),
        &ids,
    )
    .fetch_all(txn)
    .await
}

/// Lists up to `limit` of the tasks that a task still waits for.
pub(super) async fn open_parents_in_txn(
    txn: &mut PgConnection,
    task: TaskId,
    limit: i64,
) -> Result<Vec<DependencyState>, sqlx::Error> {
    sqlx::query_as!(
        DependencyState,
        r#"
        SELECT p.id AS "id: TaskId", p.name, p.status AS "status: TaskStatus"
        FROM task_dependencies d JOIN tasks p ON p.id = d.depends_on_task_id
        WHERE d.task_id = $1 AND NOT d.satisfied
        ORDER BY p.id LIMIT $2
        "#,
        task.uuid(),
        limit,
    )
    .fetch_all(txn)
    .await
}

/// Finds one of `parents` that waits for the task itself, by way of others or not. Goes from the task to what waits for it,
/// which are few where a task is still pending, and not through all that was ever done before.
pub(super) async fn circle_in_txn(
    txn: &mut PgConnection,
    task: TaskId,
    parents: &[TaskId],
) -> Result<Option<TaskId>, sqlx::Error> {
    let parents: Vec<Uuid> = parents.iter().map(|id| id.uuid()).collect();
    sqlx::query_scalar!(
        r#"
        WITH RECURSIVE below AS (
            SELECT $1::uuid AS id
            UNION
            SELECT d.task_id FROM below JOIN task_dependencies d ON d.depends_on_task_id = below.id
        )
        SELECT id AS "id!: TaskId" FROM below WHERE id = ANY($2) LIMIT 1
        "#,
        task.uuid(),
        &parents,
    )
    .fetch_optional(txn)
    .await
}
