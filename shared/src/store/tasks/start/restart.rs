//! The way out of an end.
//!
//! What the task depends on is counted afresh, by where those tasks stand now. Where the task itself was done, pending tasks
//! that it had let go wait for it again; those that were released meanwhile go on.

use sqlx::PgConnection;

use crate::domain::{OwnerId, TaskId, TaskStatus, Transition};
use crate::store::tasks::graph::{parents_in_txn, tasks_lock_in_txn};
use crate::store::tasks::news::{TaskNews, task_release_in_txn};

/// Brings a task that has ended, or was interrupted, back to `pending`, and releases it if nothing keeps it. The graph is
/// locked.
pub(super) async fn restart_in_txn(
    txn: &mut PgConnection,
    owner: OwnerId,
    task: TaskId,
) -> Result<TaskNews, sqlx::Error> {
    let parents = parents_in_txn(txn, task).await?;
    tasks_lock_in_txn(txn, owner, &parents).await?;
    let left = sqlx::query_scalar!(
        r#"SELECT status AS "status: TaskStatus" FROM tasks WHERE id = $1 FOR NO KEY UPDATE"#,
        task.uuid(),
    )
    .fetch_one(&mut *txn)
    .await?;
    let (undone, is_blocked) = parents_recount_in_txn(txn, task).await?;
    let was_done = TaskStatus::SATISFIED.contains(&left);
    let reopened = if was_done { children_reopen_in_txn(txn, task).await? } else { 0 };
    let transition = Transition::restarted();
    let sequence = sqlx::query_scalar!(
        r#"
        WITH moved AS (
            UPDATE tasks SET
                status = 'pending', retry_count = 0, excluded_worker_ids = '{}', not_before = NULL,
                run_at = CASE WHEN run_at <= now() THEN run_at END, finished_at = NULL, status_code = NULL,
                status_message = NULL, slot = 'none', undone_parents = $2, open_children = open_children + $3,
                children_waiting = false, completion_only = false, restarted_at_epoch = epoch,
                resumes_after_epoch = CASE WHEN $4 THEN epoch ELSE resumes_after_epoch END,
                base_commit = CASE WHEN NOT $4 THEN base_commit END,
                last_sequence = last_sequence + 1, version = version + 1, updated_at = now()
            WHERE id = $1
            RETURNING id, epoch, last_sequence
        )
        INSERT INTO task_events (task_id, sequence, epoch, kind, data)
        SELECT id, last_sequence, epoch, 'status',
               jsonb_build_object('transition', $5::text, 'from', $6::task_status, 'to', 'pending')
        FROM moved
        RETURNING sequence
        "#,
        task.uuid(),
        undone,
        reopened,
        was_done,
        transition.name,
        left as TaskStatus,
    )
    .fetch_one(&mut *txn)
    .await?;
    let released = task_release_in_txn(txn, task, &Transition::released()).await?;
    Ok(match released {
        Some(released) => TaskNews {
            sequence: released.sequence,
            slots_wanted: released.ready.is_none(),
            ready: released.ready,
            ..TaskNews::default()
        },
        None => TaskNews { sequence, is_blocked, ..TaskNews::default() },
    })
}

/// Sets each of the task's edges by where its parent stands. Returns how many are open, and whether one of those leads to a
/// task that can no longer be done; such a one is marked, so that the scheduler tells its child. The parents are locked.
async fn parents_recount_in_txn(txn: &mut PgConnection, task: TaskId) -> Result<(i32, bool), sqlx::Error> {
    let row = sqlx::query!(
        r#"
        WITH edge AS (
            SELECT d.depends_on_task_id AS id, d.satisfied AS was_satisfied, p.status IN ('done', 'merged') AS is_satisfied,
                   p.status IN ('failed', 'cancelled') AS is_blocked
            FROM task_dependencies d JOIN tasks p ON p.id = d.depends_on_task_id
            WHERE d.task_id = $1
        ), turned AS (
            UPDATE task_dependencies d SET satisfied = is_satisfied
            FROM edge WHERE d.task_id = $1 AND d.depends_on_task_id = edge.id AND was_satisfied <> is_satisfied
        ), told AS (
            UPDATE tasks p SET
                open_children = p.open_children + was_satisfied::integer,
                children_waiting = p.children_waiting OR is_blocked
            FROM edge WHERE p.id = edge.id AND NOT is_satisfied
        )
        SELECT count(*) FILTER (WHERE NOT is_satisfied)::integer AS "undone!",
               coalesce(bool_or(is_blocked), false) AS "is_blocked!"
        FROM edge
        "#,
        task.uuid(),
    )
    .fetch_one(txn)
    .await?;
    Ok((row.undone, row.is_blocked))
}

/// Makes the pending children of a task that was done wait for it again. Returns how many there are.
async fn children_reopen_in_txn(txn: &mut PgConnection, task: TaskId) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        WITH child AS (
            SELECT c.id FROM task_dependencies d JOIN tasks c ON c.id = d.task_id
            WHERE d.depends_on_task_id = $1 AND d.satisfied AND c.status = 'pending'
            ORDER BY c.id
            FOR NO KEY UPDATE OF c
        ), edge AS (
            UPDATE task_dependencies d SET satisfied = false
            FROM child WHERE d.depends_on_task_id = $1 AND d.task_id = child.id
            RETURNING d.task_id
        ), counted AS (
            UPDATE tasks c SET undone_parents = c.undone_parents + 1, slot = 'none', updated_at = now()
            FROM edge WHERE c.id = edge.task_id
        )
        SELECT count(*)::integer AS "count!" FROM edge
        "#,
        task.uuid(),
    )
    .fetch_one(txn)
    .await
}
