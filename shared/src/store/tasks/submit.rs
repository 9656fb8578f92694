//! Submission: tasks are accepted once their rows are committed, all of a request or none.
//!
//! What waits for nothing is one statement: rows, events, edges and the idempotency key. Where tasks wait for others, those
//! are locked first, so that none can end between the look at it and the commit.

mod insert;
mod parents;
pub(super) mod secrets;
mod sources;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::ReadyTask;
use crate::domain::{NewTask, OwnerId, TaskId, TaskStatus};
use crate::store::{Store, StoreError};
pub(in crate::store) use insert::tasks_insert_in_txn;

/// How often a submission is tried that met a deadlock: its parents may be on their way to an end, in another order.
const TRIES: u32 = 3;

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
    /// The owner has no such task to go on from.
    #[error("the task {0} to go on from does not exist")]
    SourceNotFound(TaskId),
    /// The task to go on from works on another repository.
    #[error("the task {0} to go on from works on another repository")]
    SourceElsewhere(TaskId),
    /// The task to go on from has no checkpoint with the tree that is asked for.
    #[error("the task {0} to go on from has no such checkpoint")]
    SourceCheckpointNotFound(TaskId),
    /// The owner has no secret of this name.
    #[error("the secret {0} does not exist")]
    SecretNotFound(String),
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

    /// Returns the task that the same key and body made before; `None` for a new key.
    ///
    /// # Errors
    /// The key was used with another body, or PostgreSQL is away.
    pub async fn task_submitted(
        &self,
        owner: OwnerId,
        task: &NewTask,
        idempotency_key: &str,
    ) -> Result<Option<Vec<TaskId>>, SubmitError> {
        let key = RequestKey::of(std::slice::from_ref(task), idempotency_key, false).await;
        self.tasks_by_key(owner, &key).await
    }

    /// Returns the tasks that the same key and body made before; `None` for a new key.
    ///
    /// # Errors
    /// As [`Store::task_submitted`].
    pub async fn tasks_submitted(
        &self,
        owner: OwnerId,
        tasks: &[NewTask],
        idempotency_key: &str,
    ) -> Result<Option<Vec<TaskId>>, SubmitError> {
        let key = RequestKey::of(tasks, idempotency_key, true).await;
        self.tasks_by_key(owner, &key).await
    }

    async fn submit(
        &self,
        owner: OwnerId,
        tasks: &[NewTask],
        key: Option<&str>,
        is_bulk: bool,
    ) -> Result<Submitted, SubmitError> {
        let key = match key {
            Some(key) => Some(RequestKey::of(tasks, key, is_bulk).await),
            None => None,
        };
        let mut tries = 0;
        loop {
            tries += 1;
            match (self.tasks_insert(owner, tasks, key).await, key) {
                (Err(error), _) if error.is_deadlock() && tries < TRIES => {}
                (Err(error), _) => return Err(error),
                (Ok(Some(created)), _) => return Ok(Submitted::Created(created)),
                (Ok(None), Some(key)) => match self.tasks_by_key(owner, &key).await? {
                    Some(tasks) => return Ok(Submitted::Repeated(tasks)),
                    // The key was deleted in between, with its task.
                    None if tries < TRIES => {}
                    None => return Err(sqlx::Error::RowNotFound.into()),
                },
                (Ok(None), None) => return Err(sqlx::Error::RowNotFound.into()),
            }
        }
    }

    /// Inserts the tasks; nothing if the key was used before.
    async fn tasks_insert(
        &self,
        owner: OwnerId,
        tasks: &[NewTask],
        key: Option<RequestKey<'_>>,
    ) -> Result<Option<Vec<AcceptedTask>>, SubmitError> {
        if tasks.iter().all(NewTask::names_nothing_else) {
            return insert::tasks_insert(&self.pool, owner, tasks, &BTreeMap::new(), key).await;
        }
        let mut txn = self.pool.begin().await?;
        let created = tasks_insert_in_txn(&mut txn, owner, tasks, key).await?;
        txn.commit().await?;
        Ok(created)
    }

    async fn tasks_by_key(
        &self,
        owner: OwnerId,
        asked: &RequestKey<'_>,
    ) -> Result<Option<Vec<TaskId>>, SubmitError> {
        let row = sqlx::query!(
            r#"
            SELECT coalesce(task_ids, ARRAY[task_id]) AS "task_ids!: Vec<TaskId>", request_sha256
            FROM idempotency_keys WHERE owner_id = $1 AND key = $2
            "#,
            owner.uuid(),
            asked.key,
        )
        .fetch_optional(&self.pool)
        .await?;
        match row {
            Some(row) if row.request_sha256 == asked.sha256 => Ok(Some(row.task_ids)),
            Some(_) => Err(SubmitError::IdempotencyMismatch),
            None => Ok(None),
        }
    }
}

impl<'a> RequestKey<'a> {
    async fn of(tasks: &[NewTask], key: &'a str, is_bulk: bool) -> Self {
        Self { key, sha256: request_digest(tasks, is_bulk).await, is_bulk }
    }
}

/// How many bytes are hashed before others have their turn: about a millisecond.
const HASHED_AT_ONCE: usize = 512 * 1024;

/// Hashes the submission as it was understood, so that white space and the order of fields make no difference.
async fn request_digest(tasks: &[NewTask], is_bulk: bool) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut hashed = 0;
    for task in tasks {
        let text = serde_json::to_vec(&task.submission).unwrap_or_default();
        digest.update(&text);
        if is_bulk {
            digest.update(b"\n");
        }
        hashed += text.len();
        if hashed >= HASHED_AT_ONCE {
            hashed = 0;
            tokio::task::yield_now().await;
        }
    }
    digest.finalize().into()
}
