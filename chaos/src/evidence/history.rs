//! Tasks with their events and attempts, as PostgreSQL has them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use makima_shared::domain::{AttemptOutcome, Epoch, EventKind, StatusChange, TaskEvent, TaskId, TaskStatus};
use serde::Deserialize;
use serde_json::Value;
use sqlx::PgPool;
use sqlx::types::Uuid;

/// A task's row, as far as it is judged.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct TaskRow {
    pub(crate) id: TaskId,
    pub(crate) owner_id: Uuid,
    pub(crate) name: String,
    pub(crate) status: TaskStatus,
    pub(crate) epoch: i64,
    pub(crate) max_retries: i16,
    pub(crate) last_sequence: i64,
    pub(crate) status_code: Option<String>,
    pub(crate) result_branch: Option<String>,
    pub(crate) result_commit: Option<String>,
    pub(crate) completion_error: Option<String>,
}

/// An attempt's row with its worker.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct AttemptRow {
    pub(crate) task_id: TaskId,
    pub(crate) epoch: i64,
    pub(crate) worker_id: Uuid,
    pub(crate) worker_name: Option<String>,
    pub(crate) lease_expires_at: Option<DateTime<Utc>>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) outcome: Option<AttemptOutcome>,
    pub(crate) pushing_commit: Option<String>,
}

#[derive(sqlx::FromRow)]
struct EventRow {
    task_id: TaskId,
    sequence: i64,
    epoch: i64,
    kind: EventKind,
    data: Value,
    created_at: DateTime<Utc>,
}

/// A task with its events in order and its attempts by epoch.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) task: TaskRow,
    pub(crate) events: Vec<TaskEvent>,
    pub(crate) attempts: Vec<AttemptRow>,
}

impl History {
    /// Returns the changes of status, each with its event.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&TaskEvent, StatusChange)> {
        let changes = self.events.iter().filter(|event| event.kind == EventKind::Status);
        changes.filter_map(|event| Some((event, StatusChange::deserialize(&event.data).ok()?)))
    }

    /// Returns when the task first came to a status.
    pub(crate) fn first(&self, status: TaskStatus) -> Option<DateTime<Utc>> {
        self.changes().find(|(_, change)| change.to == status).map(|(event, _)| event.created_at)
    }

    /// Returns an attempt.
    pub(crate) fn attempt(&self, epoch: i64) -> Option<&AttemptRow> {
        self.attempts.iter().find(|attempt| attempt.epoch == epoch)
    }
}

/// Reads all tasks.
pub(super) async fn load(pool: &PgPool) -> anyhow::Result<HashMap<TaskId, History>> {
    let tasks: Vec<TaskRow> = sqlx::query_as(
        "SELECT id, owner_id, name, status, epoch, max_retries, last_sequence, status_code, result_branch, result_commit,
                completion_error
         FROM tasks",
    )
    .fetch_all(pool)
    .await?;
    let empty = |task: TaskRow| (task.id, History { task, events: Vec::new(), attempts: Vec::new() });
    let mut histories: HashMap<_, _> = tasks.into_iter().map(empty).collect();
    for attempt in attempts(pool).await? {
        if let Some(history) = histories.get_mut(&attempt.task_id) {
            history.attempts.push(attempt);
        }
    }
    for row in events(pool).await? {
        let event = TaskEvent {
            sequence: row.sequence,
            epoch: Epoch::from(row.epoch),
            kind: row.kind,
            data: row.data,
            created_at: row.created_at,
        };
        if let Some(history) = histories.get_mut(&row.task_id) {
            history.events.push(event);
        }
    }
    Ok(histories)
}

async fn attempts(pool: &PgPool) -> anyhow::Result<Vec<AttemptRow>> {
    let attempts = sqlx::query_as(
        "SELECT a.task_id, a.epoch, a.worker_id, w.name AS worker_name, w.lease_expires_at, a.ended_at,
                a.outcome, a.pushing_commit
         FROM attempts a LEFT JOIN workers w ON w.id = a.worker_id ORDER BY a.task_id, a.epoch",
    );
    Ok(attempts.fetch_all(pool).await?)
}

async fn events(pool: &PgPool) -> anyhow::Result<Vec<EventRow>> {
    let events = sqlx::query_as(
        "SELECT task_id, sequence, epoch, kind, data, created_at FROM task_events ORDER BY task_id, sequence",
    );
    Ok(events.fetch_all(pool).await?)
}

/// Names rows whose owner is not their task's.
pub(super) async fn foreign_rows(pool: &PgPool) -> anyhow::Result<Vec<String>> {
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT 'the key ' || k.key || ' of another owner names task ' || t.id
         FROM idempotency_keys k JOIN tasks t ON t.id = k.task_id WHERE k.owner_id <> t.owner_id
         UNION ALL
         SELECT 'task ' || t.id || ' depends on ' || p.id || ' of another owner'
         FROM task_dependencies d JOIN tasks t ON t.id = d.task_id JOIN tasks p ON p.id = d.depends_on_task_id
         WHERE t.owner_id <> p.owner_id
         UNION ALL
         SELECT 'task ' || t.id || ' is a part of ' || p.id || ' of another owner'
         FROM tasks t JOIN tasks p ON p.id = t.parent_task_id WHERE t.owner_id <> p.owner_id",
    )
    .fetch_all(pool)
    .await?;
    Ok(rows)
}
