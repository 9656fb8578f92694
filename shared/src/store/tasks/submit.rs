//! Submission: tasks are accepted once their rows are committed, all of a request or none.
//!
//! What waits for nothing is one statement: rows, events, edges and the idempotency key. Where tasks wait for others, those
//! are locked first, so that none can end between the look at it and the commit.

mod insert;
mod parents;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::ReadyTask;
use crate::domain::{NewTask, OwnerId, TaskId, TaskStatus};
use crate::store::{Store, StoreError};
pub(in crate::store) use insert::tasks_insert_in_txn;

/// How often a submission that met a deadlock is tried again. Its parents may be on their way to an end, in another order.
const DEADLOCK_TRIES: u32 = 3;

/// A task that was accepted.
#[derive(Clone, Debug)]
pub struct AcceptedTask {
    /// Its id.
    pub id: TaskId,
    /// Where it stands.
    pub status: TaskStatus,
    /// What the queue shall hear, if it may run at once.
    pub ready: Option<ReadyTask>,
    /// Only its owner's limits keep it: the scheduler shall look.
    pub waits_for_slot: bool,
}

/// What became of a submission.
#[derive(Clone, Debug)]
pub enum Submitted {
    /// New tasks, in the order of the request.
    Created(Vec<AcceptedTask>),
    /// The tasks that the same key and body made before.
    Repeated(Vec<TaskId>),
}

/// Why a submission was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The key was used before, with another body.
    #[error("the idempotency key was used before with another body")]
    IdempotencyMismatch,
    /// The owner has no such task.
    #[error("the dependency {0} does not exist")]
    DependencyNotFound(TaskId),
    /// The owner has no such task.
    #[error("the parent task {0} does not exist")]
    ParentNotFound(TaskId),
    /// PostgreSQL is away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for SubmitError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl SubmitError {
    fn is_deadlock(&self) -> bool {
        let Self::Store(StoreError::Unavailable(sqlx::Error::Database(error))) = self else { return false };
        error.code().as_deref() == Some("40P01")
    }
}

/// The key of a request, with the hash of what was asked.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct RequestKey<'a> {
    key: &'a str,
    sha256: [u8; 32],
    /// It stands for as many tasks as the request names, not for one.
    is_bulk: bool,
}

impl Store {
    /// Accepts one task: `queued` if nothing keeps it, else `pending`.
    ///
    /// # Errors
    /// See [`SubmitError`]. If PostgreSQL fails at the commit, whether the task was accepted is not known: the client
    /// sends it again with the same idempotency key.
    pub async fn task_submit(
        &self,
        owner: OwnerId,
        task: &NewTask,
        idempotency_key: Option<&str>,
    ) -> Result<Submitted, SubmitError> {
        self.submit(owner, std::slice::from_ref(task), idempotency_key, false).await
    }

    /// Accepts many tasks in one transaction, or none.
    ///
    /// # Errors
    /// As [`Store::task_submit`].
    pub async fn tasks_submit(
        &self,
        owner: OwnerId,
        tasks: &[NewTask],
        idempotency_key: Option<&str>,
    ) -> Result<Submitted, SubmitError> {
        self.submit(owner, tasks, idempotency_key, true).await
    }

    async fn submit(
        &self,
        owner: OwnerId,
        tasks: &[NewTask],
        key: Option<&str>,
        is_bulk: bool,
    ) -> Result<Submitted, SubmitError> {
        let key = key.map(|key| RequestKey { key, sha256: request_digest(tasks, is_bulk), is_bulk });
        let mut tries = 0;
        let created = loop {
            tries += 1;
            match self.tasks_insert(owner, tasks, key).await {
                Err(error) if error.is_deadlock() && tries < DEADLOCK_TRIES => {}
                outcome => break outcome?,
            }
        };
        match (created, key) {
            (Some(created), _) => Ok(Submitted::Created(created)),
            (None, Some(key)) => Ok(Submitted::Repeated(self.tasks_by_key(owner, &key).await?)),
            (None, None) => Err(sqlx::Error::RowNotFound.into()),
        }
    }

    /// Inserts the tasks; nothing if the key was used before.
    async fn tasks_insert(
        &self,
        owner: OwnerId,
        tasks: &[NewTask],
        key: Option<RequestKey<'_>>,
    ) -> Result<Option<Vec<AcceptedTask>>, SubmitError> {
        if tasks.iter().all(|task| task.parents.is_empty() && task.submission.parent_task_id.is_none()) {
            return insert::tasks_insert(&self.pool, owner, tasks, &BTreeMap::new(), key).await;
        }
        let mut txn = self.pool.begin().await?;
        let created = tasks_insert_in_txn(&mut txn, owner, tasks, key).await?;
        txn.commit().await?;
        Ok(created)
    }

    async fn tasks_by_key(&self, owner: OwnerId, asked: &RequestKey<'_>) -> Result<Vec<TaskId>, SubmitError> {
        let row = sqlx::query!(
            r#"
            SELECT coalesce(task_ids, ARRAY[task_id]) AS "task_ids!: Vec<TaskId>", request_sha256
            FROM idempotency_keys WHERE owner_id = $1 AND key = $2
            "#,
            owner.uuid(),
            asked.key,
        )
        .fetch_one(&self.pool)
        .await?;
        if row.request_sha256 == asked.sha256 {
            Ok(row.task_ids)
        } else {
            Err(SubmitError::IdempotencyMismatch)
        }
    }
}

/// Hashes the submission as it was understood, so that white space and the order of fields make no difference.
fn request_digest(tasks: &[NewTask], is_bulk: bool) -> [u8; 32] {
    let mut digest = Sha256::new();
    for task in tasks {
        digest.update(serde_json::to_vec(&task.submission).unwrap_or_default());
        if is_bulk {
            digest.update(b"\n");
        }
    }
    digest.finalize().into()
}
