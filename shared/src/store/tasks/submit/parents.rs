//! The tasks that new ones wait for, or are parts of.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::SubmitError;
use crate::domain::{NewTask, OwnerId, TaskId, TaskStatus};

/// Locks every task that one of `tasks` waits for, in the order of their ids, and tells which of them are satisfied.
///
/// The others count their new children, so that the end of one knows of all, and one that failed or was cancelled is
/// marked, so that the scheduler tells its new children.
pub(super) async fn parents_lock_in_txn(
    txn: &mut PgConnection,
    owner: OwnerId,
    tasks: &[NewTask],
) -> Result<BTreeMap<TaskId, bool>, SubmitError> {
    let wanted: BTreeSet<TaskId> = tasks.iter().flat_map(|task| &task.parents).copied().collect();
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<_> = wanted.iter().map(|id| id.uuid()).collect();
    let found = sqlx::query!(
        r#"
        SELECT id AS "id: TaskId", status AS "status: TaskStatus" FROM tasks
        WHERE owner_id = $1 AND id = ANY($2) ORDER BY id FOR NO KEY UPDATE
        "#,
        owner.uuid(),
        &ids,
    )
    .fetch_all(&mut *txn)
    .await?;
    let satisfied: BTreeMap<_, _> =
        found.iter().map(|row| (row.id, TaskStatus::SATISFIED.contains(&row.status))).collect();
    if let Some(missing) = wanted.iter().find(|id| !satisfied.contains_key(id)) {
        return Err(SubmitError::DependencyNotFound(*missing));
    }
    children_count_in_txn(txn, tasks, &satisfied).await?;
    Ok(satisfied)
}

async fn children_count_in_txn(
    txn: &mut PgConnection,
    tasks: &[NewTask],
    satisfied: &BTreeMap<TaskId, bool>,
) -> Result<(), sqlx::Error> {
    let mut children: BTreeMap<TaskId, i32> = BTreeMap::new();
    for parent in tasks.iter().flat_map(|task| &task.parents) {
        if satisfied.get(parent) == Some(&false) {
            *children.entry(*parent).or_default() += 1;
        }
    }
    if children.is_empty() {
        return Ok(());
    }
    let (ids, counts): (Vec<_>, Vec<_>) = children.into_iter().map(|(id, count)| (id.uuid(), count)).unzip();
    sqlx::query!(
        r#"
        UPDATE tasks p SET
            open_children = p.open_children + added.count,
            children_waiting = p.children_waiting OR p.status IN ('failed', 'cancelled')
        FROM unnest($1::uuid[], $2::integer[]) AS added (id, count) WHERE p.id = added.id
        "#,
        &ids,
        &counts,
    )
    .execute(txn)
    .await?;
    Ok(())
}

/// Makes sure that the owner has every task that one of `tasks` is a part of.
pub(super) async fn part_of_in_txn(
    txn: &mut PgConnection,
    owner: OwnerId,
    tasks: &[NewTask],
) -> Result<(), SubmitError> {
    let wanted: BTreeSet<TaskId> = tasks.iter().filter_map(|task| task.submission.parent_task_id).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = wanted.iter().map(|id| id.uuid()).collect();
    let found = sqlx::query_scalar!(
        // The lock keeps them from being deleted before the new tasks are there.
        r#"SELECT id AS "id: TaskId" FROM tasks WHERE owner_id = $1 AND id = ANY($2) FOR KEY SHARE"#,
        owner.uuid(),
        &ids,
    )
    .fetch_all(txn)
    .await?;
    match wanted.iter().find(|id| !found.contains(id)) {
        Some(missing) => Err(SubmitError::ParentNotFound(*missing)),
        None => Ok(()),
    }
}
