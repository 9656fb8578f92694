//! The way back from a completion that went wrong: the task is queued again to have its action repeated, and no agent runs.
//!
//! Its work is in its last checkpoint, which is kept as long as the task has not ended. What the task depends on is not
//! looked at, and what depends on it goes on: the work itself was done. While it is under way the task waits, is claimed, is
//! lost and is fenced as any other; what would fail it makes it `done` again (`transition.rs`).

use sqlx::PgConnection;

use super::graph::{DEADLOCK_TRIES, graph_lock_in_txn, status_in_txn};
use super::news::{TaskNews, task_release_in_txn};
use crate::domain::{OwnerId, TaskId, TaskStatus, Transition};
use crate::store::{Store, StoreError};

/// What came of the wish to repeat a completion.
#[derive(Clone, Debug)]
pub enum RetryCompletionOutcome {
    /// It is on its way.
    Started(TaskNews),
    /// The task stands here, and there is nothing that could be repeated. Nothing changed.
    Refused(TaskStatus),
}

impl Store {
    /// Has the completion action of one of the owner's tasks repeated; `None` if there is no such task.
    ///
    /// # Errors
    /// PostgreSQL is away. Trying again is safe: a second time there is nothing to repeat.
    pub async fn task_retry_completion(
        &self,
        owner: OwnerId,
        task: TaskId,
    ) -> Result<Option<RetryCompletionOutcome>, StoreError> {
        for _ in 1..DEADLOCK_TRIES {
            match self.task_retry_completion_once(owner, task).await {
                Err(error) if error.is_deadlock() => {}
                outcome => return outcome,
            }
        }
        self.task_retry_completion_once(owner, task).await
    }

    async fn task_retry_completion_once(
        &self,
        owner: OwnerId,
        task: TaskId,
    ) -> Result<Option<RetryCompletionOutcome>, StoreError> {
        let mut txn = self.pool.begin().await?;
        graph_lock_in_txn(&mut txn, owner).await?;
        let Some(status) = status_in_txn(&mut txn, owner, task).await? else { return Ok(None) };
        let outcome = match reopen_in_txn(&mut txn, task).await? {
            Some(news) => RetryCompletionOutcome::Started(news),
            None => RetryCompletionOutcome::Refused(status),
        };
        txn.commit().await?;
        Ok(Some(outcome))
    }
}

/// Queues a task for its completion alone, if that went wrong and its work is at hand. One that was stopped on its way there
/// may be sent again.
async fn reopen_in_txn(txn: &mut PgConnection, task: TaskId) -> Result<Option<TaskNews>, sqlx::Error> {
    let sequence = sqlx::query_scalar!(
        r#"
        WITH left_at AS (
            SELECT t.id, t.status FROM tasks t
            WHERE t.id = $1 AND (t.status = 'done' OR t.completion_only AND t.status IN ('failed', 'cancelled'))
              AND t.completion @> '{"canRetry": true}'
              AND EXISTS (SELECT FROM checkpoint_patches p WHERE p.task_id = t.id AND p.number = t.last_checkpoint)
            FOR NO KEY UPDATE
        ), moved AS (
            UPDATE tasks t SET
                status = 'pending', completion_only = true, retry_count = 0, excluded_worker_ids = '{}',
                not_before = NULL, finished_at = NULL, status_code = NULL, status_message = NULL, slot = 'none',
                children_waiting = false, restarted_at_epoch = t.epoch, last_sequence = t.last_sequence + 1,
                version = t.version + 1, updated_at = now()
            FROM left_at WHERE t.id = left_at.id
            RETURNING t.id, t.epoch, t.last_sequence, left_at.status AS left_status
        )
        INSERT INTO task_events (task_id, sequence, epoch, kind, data)
        SELECT id, last_sequence, epoch, 'status', jsonb_build_object(
            'transition', $2::text, 'from', left_status, 'to', 'pending', 'completionOnly', true)
        FROM moved
        RETURNING sequence
        "#,
        task.uuid(),
        Transition::restarted().name,
    )
    .fetch_optional(&mut *txn)
    .await?;
    let Some(sequence) = sequence else { return Ok(None) };
    let released = task_release_in_txn(txn, task, &Transition::released()).await?;
    Ok(Some(match released {
        Some(released) => TaskNews {
            sequence: released.sequence,
            slots_wanted: released.ready.is_none(),
            ready: released.ready,
            ..TaskNews::default()
        },
        None => TaskNews { sequence, ..TaskNews::default() },
    }))
}
