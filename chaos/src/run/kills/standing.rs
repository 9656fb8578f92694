//! Where a task stands, as PostgreSQL and the agent's own notes have it.

use makima_shared::domain::{TaskId, TaskStatus};
use sqlx::PgPool;

use crate::evidence::{Note, Noted};

/// A task, and its last checkpoint.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Standing {
    pub(super) status: TaskStatus,
    pub(super) is_over: bool,
    pub(super) epoch: i64,
    pub(super) status_message: Option<String>,
    pub(super) checkpoints: i32,
    pub(super) result_commit: Option<String>,
    pub(super) completion_error: Option<String>,
    /// The tree and the agent's refs of the last checkpoint.
    pub(super) tree_id: Option<String>,
    pub(super) refs: Option<serde_json::Value>,
}

/// An attempt: where it ran, and what it began from.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Attempt {
    pub(super) worker: Option<String>,
    pub(super) resumed_from: Option<i32>,
    pub(super) was_taken_up: bool,
}

impl Standing {
    /// Reads it.
    pub(super) async fn of(pool: &PgPool, task: TaskId) -> anyhow::Result<Self> {
        let standing = sqlx::query_as(
            "SELECT t.status, t.finished_at IS NOT NULL AS is_over, t.epoch, t.status_message, t.result_commit,
                    t.completion_error, coalesce(c.number, 0) AS checkpoints, c.tree_id, p.commits_refs AS refs
             FROM tasks t
             LEFT JOIN LATERAL (
                 SELECT number, tree_id FROM task_checkpoints WHERE task_id = t.id ORDER BY number DESC LIMIT 1
             ) c ON true
             LEFT JOIN checkpoint_patches p ON p.task_id = t.id AND p.number = c.number
             WHERE t.id = $1",
        );
        Ok(standing.bind(task).fetch_one(pool).await?)
    }
}

impl Attempt {
    /// Reads it.
    pub(super) async fn of(pool: &PgPool, task: TaskId, epoch: i64) -> anyhow::Result<Self> {
        let attempt = sqlx::query_as(
            "SELECT w.name AS worker, a.resumed_from,
                    EXISTS (SELECT FROM task_events e WHERE e.task_id = a.task_id AND e.epoch = a.epoch
                            AND e.kind = 'notice' AND e.data->>'code' = 'WORKSPACE_TAKEN_UP') AS was_taken_up
             FROM attempts a LEFT JOIN workers w ON w.id = a.worker_id WHERE a.task_id = $1 AND a.epoch = $2",
        );
        Ok(attempt.bind(task).bind(epoch).fetch_one(pool).await?)
    }

    /// Returns the worker without the number of its life.
    pub(super) fn role(&self) -> Option<&str> {
        self.worker.as_deref()?.rsplit_once('.').map(|(role, _life)| role)
    }

    /// Says what it began from.
    pub(super) fn beginning(&self) -> String {
        match (self.was_taken_up, self.resumed_from) {
            (true, _) => "in the workspace left there".to_owned(),
            (false, Some(number)) => format!("from checkpoint {number}"),
            (false, None) => "from the beginning".to_owned(),
        }
    }
}

/// Returns the last attempt whose agent has begun, and the step that it was last heard of.
pub(super) fn progress(notes: &[Note]) -> Option<(i64, u32)> {
    notes.last().map(|note| (note.epoch, note.number))
}

/// Returns the note with which the agent of a later attempt began.
pub(super) fn start_after(notes: &[Note], epoch: i64) -> Option<&Note> {
    notes.iter().find(|note| note.epoch > epoch && note.noted == Noted::Start)
}
