//! Starting a task by name: at once, whatever its time is, or again, after it has ended.
//!
//! A task that ended well begins anew, from the newest commit of its base branch. One that did not goes on from its last
//! checkpoint. Its epochs go on rising either way, so nothing that an earlier attempt still sends is taken, and what came of
//! it stays until there is a new result.

mod restart;

use serde_json::json;
use sqlx::PgConnection;

use super::graph::{DEADLOCK_TRIES, graph_lock_in_txn, open_parents_in_txn, status_in_txn};
use super::news::{TaskNews, notice_in_txn, task_release_in_txn};
use crate::domain::{DependencyState, OwnerId, TaskId, TaskStatus, Transition};
use crate::store::{Store, StoreError};

/// How many of the tasks that keep one from starting are named.
const NAMED: i64 = 5;

/// What came of the wish to start a task.
#[derive(Clone, Debug)]
pub enum StartOutcome {
    /// It is on its way: released, or waiting for a slot or for what it depends on.
    Started(TaskNews),
    /// It was on its way already. Nothing changed.
    Underway,
    /// Tasks that it depends on are not done, these among them. Nothing changed.
    Blocked(Vec<DependencyState>),
    /// It stands where nothing can be started. Nothing changed.
    Refused(TaskStatus),
}

impl Store {
    /// Starts one of the owner's tasks at once or again; `None` if there is no such task.
    ///
    /// # Errors
    /// PostgreSQL is away. Whether it was started is then not known; trying again is safe while it has not ended.
    pub async fn task_start(&self, owner: OwnerId, task: TaskId) -> Result<Option<StartOutcome>, StoreError> {
        for _ in 1..DEADLOCK_TRIES {
            match self.task_start_once(owner, task).await {
                Err(error) if error.is_deadlock() => {}
                outcome => return outcome,
            }
        }
        self.task_start_once(owner, task).await
    }

    async fn task_start_once(
        &self,
        owner: OwnerId,
        task: TaskId,
    ) -> Result<Option<StartOutcome>, StoreError> {
        let mut txn = self.pool.begin().await?;
        graph_lock_in_txn(&mut txn, owner).await?;
        // Only this way leads out of an end, and only one at a time goes it: what is seen here holds.
        let Some(status) = status_in_txn(&mut txn, owner, task).await? else { return Ok(None) };
        let outcome = match status {
            TaskStatus::Pending => expedite_in_txn(&mut txn, task).await?,
            TaskStatus::Queued | TaskStatus::Starting | TaskStatus::Running => StartOutcome::Underway,
            TaskStatus::Paused => StartOutcome::Refused(status),
            TaskStatus::Interrupted
            | TaskStatus::Done
            | TaskStatus::Merged
            | TaskStatus::Failed
            | TaskStatus::Cancelled => {
                StartOutcome::Started(restart::restart_in_txn(&mut txn, owner, task).await?)
            }
        };
        txn.commit().await?;
        Ok(Some(outcome))
    }
}

/// Releases a pending task before its time.
async fn expedite_in_txn(txn: &mut PgConnection, task: TaskId) -> Result<StartOutcome, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        SELECT status = 'pending' AS "is_pending!", coalesce(undone_parents = 0, false) AS "is_free!",
               slot = 'waiting' AS "wants_slot!"
        FROM tasks WHERE id = $1 FOR NO KEY UPDATE
        "#,
        task.uuid(),
    )
    .fetch_optional(&mut *txn)
    .await?;
    match row {
        Some(row) if row.is_pending && !row.is_free => {
            return Ok(StartOutcome::Blocked(open_parents_in_txn(txn, task, NAMED).await?));
        }
        Some(row) if row.is_pending && !row.wants_slot => {}
        // It was released a moment ago, or nothing but a slot is missing.
        Some(_) | None => return Ok(StartOutcome::Underway),
    }
    sqlx::query!(
        "UPDATE tasks SET not_before = NULL, run_at = CASE WHEN run_at <= now() THEN run_at END WHERE id = $1",
        task.uuid(),
    )
    .execute(&mut *txn)
    .await?;
    let Some(released) = task_release_in_txn(txn, task, &Transition::expedited()).await? else {
        return Ok(StartOutcome::Underway);
    };
    let mut news = TaskNews { sequence: released.sequence, ready: released.ready, ..TaskNews::default() };
    if news.ready.is_none() {
        news.slots_wanted = true;
        let message = "started by request before its time: only a limit of its owner's keeps it";
        let notice = json!({"code": "EXPEDITED", "message": message});
        news.sequence = notice_in_txn(txn, task.uuid(), notice).await?;
    }
    Ok(StartOutcome::Started(news))
}
