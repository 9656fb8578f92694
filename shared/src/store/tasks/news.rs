//! What others shall hear of a task that its owner has touched.

use sqlx::PgConnection;
use uuid::Uuid;

use super::ReadyTask;
use crate::domain::{OwnerId, TaskId, Transition, WorkerId};

/// What others shall hear of a task that its owner has touched.
#[derive(Clone, Debug, Default)]
pub struct TaskNews {
    /// The number of its newest event.
    pub sequence: i64,
    /// What the queue shall hear, if the task is queued.
    pub ready: Option<ReadyTask>,
    /// The labels that the queue has it under, where those are others now.
    pub left_labels: Option<Vec<String>>,
    /// Something has changed among those that wait for a slot: the scheduler shall look.
    pub slots_wanted: bool,
    /// It depends on a task that can no longer be done: the scheduler shall tell it.
    pub is_blocked: bool,
}

/// A task that was released, or waits for a slot from now on.
pub(super) struct Released {
    pub(super) sequence: i64,
    /// What the queue shall hear; none if it waits for a slot.
    pub(super) ready: Option<ReadyTask>,
}

/// Releases a pending task if nothing keeps it, by the transition that is named. One of a limited owner waits for a slot.
pub(super) async fn task_release_in_txn(
    txn: &mut PgConnection,
    task: TaskId,
    transition: &Transition,
) -> Result<Option<Released>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        WITH moved AS (
            UPDATE tasks t SET
                status = CASE WHEN o.limited THEN t.status ELSE 'queued' END,
                slot = CASE WHEN o.limited THEN 'waiting' ELSE t.slot END,
                queued_at = CASE WHEN o.limited THEN t.queued_at ELSE now() END,
                not_before = NULL,
                status_code = CASE WHEN o.limited THEN t.status_code END,
                status_message = CASE WHEN o.limited THEN t.status_message END,
                last_sequence = t.last_sequence + (NOT o.limited)::integer,
                version = t.version + (NOT o.limited)::integer,
                updated_at = now()
            FROM owners o
            WHERE t.id = $1 AND o.id = t.owner_id AND t.status = 'pending' AND t.undone_parents = 0 AND t.slot = 'none'
              AND coalesce(t.not_before <= now(), true)
            RETURNING t.id, t.owner_id, t.status, t.epoch, t.last_sequence, t.priority, t.labels, t.queued_at,
                      t.excluded_worker_ids, o.weight
        ), event AS (
            INSERT INTO task_events (task_id, sequence, epoch, kind, data)
            SELECT id, last_sequence, epoch, 'status',
                   jsonb_build_object('transition', $2::text, 'from', 'pending', 'to', 'queued')
            FROM moved WHERE status = 'queued'
        )
        SELECT owner_id AS "owner_id: OwnerId", status = 'queued' AS "is_queued!", last_sequence, priority, labels,
               queued_at, excluded_worker_ids AS "excluded_worker_ids: Vec<WorkerId>", weight
        FROM moved
        "#,
        task.uuid(),
        transition.name,
    )
    .fetch_optional(txn)
    .await?;
    Ok(row.map(|row| Released {
        sequence: row.last_sequence,
        ready: row.queued_at.filter(|_| row.is_queued).map(|queued_at| ReadyTask {
            id: task,
            owner_id: row.owner_id,
            owner_weight: row.weight,
            priority: row.priority,
            queued_at,
            labels: row.labels,
            excluded_worker_ids: row.excluded_worker_ids,
        }),
    }))
}

/// Returns what the queue shall hear of a task that is queued.
pub(super) async fn ready_in_txn(
    txn: &mut PgConnection,
    task: TaskId,
) -> Result<Option<ReadyTask>, sqlx::Error> {
    sqlx::query_as!(
        ReadyTask,
        r#"
        SELECT t.id AS "id: TaskId", t.owner_id AS "owner_id: OwnerId", o.weight AS owner_weight, t.priority,
               t.queued_at AS "queued_at!", t.labels, t.excluded_worker_ids AS "excluded_worker_ids: Vec<WorkerId>"
        FROM tasks t JOIN owners o ON o.id = t.owner_id
        WHERE t.id = $1 AND t.status = 'queued'
        "#,
        task.uuid(),
    )
    .fetch_optional(txn)
    .await
}

/// Writes a notice into a task's history, about a change that its owner made. Returns its number.
pub(super) async fn notice_in_txn(
    txn: &mut PgConnection,
    task: Uuid,
    data: serde_json::Value,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        WITH head AS (
            UPDATE tasks SET last_sequence = last_sequence + 1, version = version + 1, updated_at = now()
            WHERE id = $1 RETURNING id, epoch, last_sequence
        )
        INSERT INTO task_events (task_id, sequence, epoch, kind, data)
        SELECT id, last_sequence, epoch, 'notice', $2 FROM head
        RETURNING sequence
        "#,
        task,
        data,
    )
    .fetch_one(txn)
    .await
}
