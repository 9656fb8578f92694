//! What a pending task depends on, given anew.
//!
//! Every count stays what the edges say: how many of the task's own are open, and how many open ones lead to each parent.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use uuid::Uuid;

use super::ChangeError;
use crate::domain::{OwnerId, TaskId};
use crate::store::tasks::graph::{graph_lock_in_txn, parents_in_txn, tasks_lock_in_txn};

/// The difference between what a task depends on and what it shall depend on.
pub(super) struct Edges {
    added: Vec<TaskId>,
    removed: Vec<TaskId>,
}

impl Edges {
    pub(super) fn differ(&self) -> bool {
        !self.added.is_empty() || !self.removed.is_empty()
    }

    pub(super) fn added(&self) -> &[TaskId] {
        &self.added
    }
}

/// Locks the graph and every task at the other end of an edge that stays, goes or comes.
pub(super) async fn edges_lock_in_txn(
    txn: &mut PgConnection,
    owner: OwnerId,
    task: TaskId,
    wanted: &[TaskId],
) -> Result<Edges, ChangeError> {
    graph_lock_in_txn(txn, owner).await?;
    let current: BTreeSet<TaskId> = parents_in_txn(txn, task).await?.into_iter().collect();
    let wanted: BTreeSet<TaskId> = wanted.iter().copied().collect();
    if wanted.contains(&task) {
        return Err(ChangeError::DependencyCycle(task));
    }
    let all: Vec<TaskId> = current.union(&wanted).copied().collect();
    let found = tasks_lock_in_txn(txn, owner, &all).await?;
    if let Some(missing) = wanted.iter().find(|id| !found.contains(id)) {
        return Err(ChangeError::DependencyNotFound(*missing));
    }
    Ok(Edges {
        added: wanted.difference(&current).copied().collect(),
        removed: current.difference(&wanted).copied().collect(),
    })
}

/// Writes the difference. Returns whether an edge leads to a task that can no longer be done; such a one is marked, so that
/// the scheduler tells its new child.
pub(super) async fn edges_replace_in_txn(
    txn: &mut PgConnection,
    task: TaskId,
    edges: &Edges,
) -> Result<bool, sqlx::Error> {
    edges_remove_in_txn(txn, task, &edges.removed).await?;
    edges_add_in_txn(txn, task, &edges.added).await?;
    // In a statement of its own, which sees what those two wrote.
    sqlx::query_scalar!(
        r#"
        WITH open AS (
            SELECT p.status IN ('failed', 'cancelled') AS is_blocked
            FROM task_dependencies d JOIN tasks p ON p.id = d.depends_on_task_id
            WHERE d.task_id = $1 AND NOT d.satisfied
        ), counted AS (
            UPDATE tasks SET undone_parents = (SELECT count(*) FROM open) WHERE id = $1
        )
        SELECT coalesce(bool_or(is_blocked), false) AS "is_blocked!" FROM open
        "#,
        task.uuid(),
    )
    .fetch_one(txn)
    .await
}

async fn edges_remove_in_txn(
    txn: &mut PgConnection,
    task: TaskId,
    parents: &[TaskId],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        WITH edge AS (
            DELETE FROM task_dependencies WHERE task_id = $1 AND depends_on_task_id = ANY($2)
            RETURNING depends_on_task_id AS id, satisfied
        )
        UPDATE tasks p SET open_children = greatest(p.open_children - 1, 0)
        FROM edge WHERE p.id = edge.id AND NOT edge.satisfied
        "#,
        task.uuid(),
        &uuids(parents),
    )
    .execute(txn)
    .await?;
    Ok(())
}

async fn edges_add_in_txn(
    txn: &mut PgConnection,
    task: TaskId,
    parents: &[TaskId],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        WITH edge AS (
            INSERT INTO task_dependencies (task_id, depends_on_task_id, satisfied)
            SELECT $1, p.id, p.status IN ('done', 'merged') FROM tasks p WHERE p.id = ANY($2)
            RETURNING depends_on_task_id AS id, satisfied
        )
        UPDATE tasks p SET
            open_children = p.open_children + 1,
            children_waiting = p.children_waiting OR p.status IN ('failed', 'cancelled')
        FROM edge WHERE p.id = edge.id AND NOT edge.satisfied
        "#,
        task.uuid(),
        &uuids(parents),
    )
    .execute(txn)
    .await?;
    Ok(())
}

fn uuids(ids: &[TaskId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.uuid()).collect()
}
