//! Changing a task after it was submitted.
//!
//! The row is locked, compared with what is asked, and written whole. A change of what the task depends on locks the
//! graph and the parents first (`graph.rs`); it may release the task, or block it.

mod edges;

use serde_json::{Value, json};
use sqlx::{PgConnection, PgExecutor};

use super::graph::{DEADLOCK_TRIES, circle_in_txn, status_in_txn};
use super::news::{TaskNews, notice_in_txn, ready_in_txn, task_release_in_txn};
use super::read::task_get_in_txn;
use super::submit::secrets::secret_missing_in_txn;
use crate::domain::{
    CheckedChanges, CompletionAction, ContractId, FieldError, MergeStrategy, OwnerId, Task, TaskField,
    TaskId, TaskStatus, Transition, unfit,
};
use crate::store::{Store, StoreError};
use edges::{Edges, edges_lock_in_txn, edges_replace_in_txn};

/// Why a change was not made. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The owner has no such task.
    #[error("there is no such task")]
    NotFound,
    /// The task has changed since.
    #[error("the task is at version {actual}")]
    VersionConflict {
        /// Its version.
        actual: i32,
    },
    /// Some fields cannot change any more, or not now.
    #[error("the task is {status}: some fields cannot change")]
    NotNow {
        /// Where the task stands.
        status: TaskStatus,
        /// The fields, and why.
        fields: Vec<FieldError>,
    },
    /// A field does not fit what else the task is.
    #[error("{} {}", .0.field, .0.problem)]
    Unfit(FieldError),
    /// The owner has no such task.
    #[error("the dependency {0} does not exist")]
    DependencyNotFound(TaskId),
    /// That task waits for the one that shall wait for it.
    #[error("the dependency {0} waits for the task itself")]
    DependencyCycle(TaskId),
    /// The owner has no secret of this name.
    #[error("the secret {0} does not exist")]
    SecretNotFound(String),
    /// PostgreSQL is away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for ChangeError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Changes one of the owner's tasks. `None` if it is as it was asked to be already.
    ///
    /// # Errors
    /// See [`ChangeError`]. If PostgreSQL fails, whether the change was made is not known: the version tells.
    pub async fn task_change(
        &self,
        owner: OwnerId,
        task: TaskId,
        changes: &CheckedChanges,
    ) -> Result<Option<TaskNews>, ChangeError> {
        for _ in 1..DEADLOCK_TRIES {
            match self.task_change_once(owner, task, changes).await {
                Err(ChangeError::Store(error)) if error.is_deadlock() => {}
                outcome => return outcome,
            }
        }
        self.task_change_once(owner, task, changes).await
    }

    async fn task_change_once(
        &self,
        owner: OwnerId,
        id: TaskId,
        changes: &CheckedChanges,
    ) -> Result<Option<TaskNews>, ChangeError> {
        let mut txn = self.pool.begin().await?;
        status_in_txn(&mut txn, owner, id).await?.ok_or(ChangeError::NotFound)?;
        let edges = match changes.depends_on() {
            Some(wanted) => Some(edges_lock_in_txn(&mut txn, owner, id, wanted).await?),
            None => None,
        };
        let held = hold_in_txn(&mut txn, owner, id).await?;
        let mut task = task_get_in_txn(&mut *txn, owner, id).await?.ok_or(ChangeError::NotFound)?;
        if task.version != changes.version() {
            return Err(ChangeError::VersionConflict { actual: task.version });
        }
        let before = task.clone();
        let mut fields = changes.write(&mut task);
        let edges = edges.filter(Edges::differ);
        fields.extend(edges.as_ref().map(|_| TaskField::DependsOn));
        if fields.is_empty() {
            return Ok(None);
        }
        check_fit(&before, &task, &fields)?;
        if fields.contains(&TaskField::Secrets)
            && let Some(name) = secret_missing_in_txn(&mut txn, owner, &task.secrets).await?
        {
            return Err(ChangeError::SecretNotFound(name));
        }
        let mut is_blocked = false;
        if let Some(edges) = &edges {
            is_blocked = depend_in_txn(&mut txn, id, edges).await?;
        }
        row_write_in_txn(&mut *txn, &before, &task).await?;
        let sequence = notice_in_txn(&mut txn, id.uuid(), notice(&fields)).await?;
        let released = task_release_in_txn(&mut txn, id, &Transition::released()).await?;
        let mut news = news_in_txn(&mut txn, &before, &task).await?;
        news.sequence = released.as_ref().map_or(sequence, |released| released.sequence);
        news.slots_wanted = held.waits_for_slot || released.is_some_and(|released| released.ready.is_none());
        news.is_blocked = is_blocked;
        txn.commit().await?;
        Ok(Some(news))
    }
}

struct Held {
    waits_for_slot: bool,
}

async fn hold_in_txn(txn: &mut PgConnection, owner: OwnerId, task: TaskId) -> Result<Held, ChangeError> {
    let waits_for_slot = sqlx::query_scalar!(
        r#"
        SELECT slot = 'waiting' AS "waits_for_slot!" FROM tasks WHERE owner_id = $1 AND id = $2 FOR NO KEY UPDATE
        "#,
        owner.uuid(),
        task.uuid(),
    )
    .fetch_optional(txn)
    .await?;
    Ok(Held { waits_for_slot: waits_for_slot.ok_or(ChangeError::NotFound)? })
}

/// Checks that the fields may change now, and that the task as it shall be holds together.
fn check_fit(before: &Task, after: &Task, fields: &[TaskField]) -> Result<(), ChangeError> {
    let status = before.status;
    let refused = |field: &&TaskField| {
        !field.may_change_while(status) || (**field == TaskField::BaseBranch && before.base_commit.is_some())
    };
    let problem = |field: &TaskField| {
        let problem = if field.may_change_while(status) {
            "cannot change any more: the work is based on one of its commits".to_owned()
        } else {
            format!("cannot change while the task is {status}")
        };
        FieldError::new(field.as_str(), problem)
    };
    let refused: Vec<_> = fields.iter().filter(refused).map(problem).collect();
    if !refused.is_empty() {
        return Err(ChangeError::NotNow { status, fields: refused });
    }
    if after.max_retries < after.retry_count {
        let problem = format!("is less than the {} retries that are spent", after.retry_count);
        return Err(ChangeError::Unfit(FieldError::new("maxRetries", problem)));
    }
    if after.target_branch.is_some() && after.target_branch == after.base_branch {
        let problem = "is the base branch: the result needs a branch of its own";
        return Err(ChangeError::Unfit(FieldError::new("targetBranch", problem)));
    }
    unfit(after, fields).map_or(Ok(()), |problem| Err(ChangeError::Unfit(problem)))
}

/// Gives a task other edges. Returns whether one of them leads to a task that can no longer be done.
async fn depend_in_txn(txn: &mut PgConnection, task: TaskId, edges: &Edges) -> Result<bool, ChangeError> {
    if let Some(parent) = circle_in_txn(txn, task, edges.added()).await? {
        return Err(ChangeError::DependencyCycle(parent));
    }
    Ok(edges_replace_in_txn(txn, task, edges).await?)
}

/// Says in the task's history which fields have changed, not to what.
fn notice(fields: &[TaskField]) -> Value {
    let names: Vec<_> = fields.iter().map(|field| field.as_str()).collect();
    json!({"code": "CHANGED", "message": format!("changed by request: {}", names.join(", ")), "fields": names})
}

/// What the queue shall hear: a queued task stands in it by its labels and its priority.
async fn news_in_txn(txn: &mut PgConnection, before: &Task, after: &Task) -> Result<TaskNews, sqlx::Error> {
    let relabelled = before.status == TaskStatus::Queued && before.labels != after.labels;
    let moved = before.status == TaskStatus::Pending || relabelled || before.priority != after.priority;
    Ok(TaskNews {
        ready: if moved { ready_in_txn(txn, after.id).await? } else { None },
        left_labels: relabelled.then(|| before.labels.clone()),
        ..TaskNews::default()
    })
}

/// Writes all that may change. A pending task that waited for its `runAt` waits for the new one; one that rests after a
/// failure rests at least as long as it had to.
async fn row_write_in_txn(
    executor: impl PgExecutor<'_>,
    before: &Task,
    task: &Task,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        UPDATE tasks t SET
            name = $2, plan = $3, description = $4, base_branch = $5, target_branch = $6, agent = $7, env = $8,
            priority = $9, labels = $10, max_retries = $11, timeout_secs = $12, checkpoint_interval_secs = $13,
            completion_action = $14, contract_id = $15, run_at = $16,
            max_cost_usd = $18, max_tokens = $19, secrets = $20, merge_strategy = $21,
            not_before = CASE
                WHEN NOT $17 THEN t.not_before
                WHEN t.not_before IS NOT DISTINCT FROM t.run_at THEN $16
                ELSE greatest(t.not_before, $16) END,
            slot = CASE
                WHEN t.slot = 'waiting' AND (t.undone_parents > 0 OR ($17 AND $16 > now())) THEN 'none'
                ELSE t.slot END
        WHERE t.id = $1
        "#,
        task.id.uuid(),
        task.name,
        task.plan,
        task.description,
        task.base_branch,
        task.target_branch,
        json!(task.agent),
        json!(task.env),
        task.priority,
        &task.labels,
        task.max_retries,
        task.timeout_secs,
        task.checkpoint_interval_secs,
        task.completion_action as CompletionAction,
        task.contract_id.map(ContractId::uuid),
        task.run_at,
        before.run_at != task.run_at,
        task.max_cost_usd,
        task.max_tokens,
        json!(task.secrets),
        task.merge_strategy as MergeStrategy,
    )
    .execute(executor)
    .await?;
    Ok(())
}
