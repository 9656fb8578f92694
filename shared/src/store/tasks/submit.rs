//! Submission: a task is accepted once its row is committed.

use sha2::{Digest, Sha256};
use sqlx::types::Json;
use sqlx::{PgConnection, Postgres, Transaction};

use super::read::task_get_in_txn;
use crate::domain::{CompletionAction, NewTask, OwnerId, Task, TaskId, TaskStatus, TaskSubmission};
use crate::store::{Store, StoreError};

/// What became of a submission.
#[derive(Debug)]
pub enum Submitted {
    /// A new task.
    Created(Box<Task>),
    /// The task that the same key and body made before.
    Repeated(Box<Task>),
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

impl Store {
    /// Accepts a task: `queued` if nothing keeps it, else `pending`.
    ///
    /// A new task can only depend on tasks that exist already and nothing depends on it yet, so no cycle can come about.
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
        let request = idempotency_key.map(|key| (key, request_digest(&task.submission)));
        if let Some((key, digest)) = &request
            && let Some(earlier) = self.task_by_idempotency_key(owner, key, digest).await?
        {
            return Ok(Submitted::Repeated(earlier));
        }
        let mut txn = self.pool.begin().await?;
        let id = task_insert_in_txn(&mut txn, owner, &task.submission).await?;
        if let Some((key, digest)) = &request
            && !idempotency_key_insert_in_txn(&mut txn, owner, key, digest, id).await?
        {
            // Another request with this key was faster. What it committed is the answer to both.
            txn.rollback().await?;
            let earlier = self.task_by_idempotency_key(owner, key, digest).await?;
            return earlier
                .map(Submitted::Repeated)
                .ok_or_else(|| SubmitError::from(sqlx::Error::RowNotFound));
        }
        let created = task_get_in_txn(&mut *txn, owner, id).await?.ok_or(sqlx::Error::RowNotFound)?;
        txn.commit().await?;
        Ok(Submitted::Created(Box::new(created)))
    }

    async fn task_by_idempotency_key(
        &self,
        owner: OwnerId,
        key: &str,
        digest: &[u8; 32],
    ) -> Result<Option<Box<Task>>, SubmitError> {
        let row = sqlx::query!(
            r#"
            SELECT task_id AS "task_id: TaskId", request_sha256 FROM idempotency_keys WHERE owner_id = $1 AND key = $2
            "#,
            owner.uuid(),
            key,
        )
        .fetch_optional(&self.pool)
        .await?;
        match row {
            None => Ok(None),
            Some(row) if row.request_sha256 != digest => Err(SubmitError::IdempotencyMismatch),
            Some(row) => Ok(self.task_get(owner, row.task_id).await?.map(Box::new)),
        }
    }
}

/// Hashes the submission as it was understood, so that white space and the order of fields make no difference.
fn request_digest(submission: &TaskSubmission) -> [u8; 32] {
    let canonical = serde_json::to_vec(submission).unwrap_or_default();
    Sha256::digest(canonical).into()
}

async fn idempotency_key_insert_in_txn(
    txn: &mut PgConnection,
    owner: OwnerId,
    key: &str,
    digest: &[u8; 32],
    task: TaskId,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        r#"
        INSERT INTO idempotency_keys (owner_id, key, request_sha256, task_id) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING
        "#,
        owner.uuid(),
        key,
        digest.as_slice(),
        task.uuid(),
    )
    .execute(txn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Inserts a task with its edges and its first event.
pub(in crate::store) async fn task_insert_in_txn(
    txn: &mut Transaction<'_, Postgres>,
    owner: OwnerId,
    submission: &TaskSubmission,
) -> Result<TaskId, SubmitError> {
    if let Some(parent) = submission.parent_task_id {
        let found =
            sqlx::query!("SELECT id FROM tasks WHERE owner_id = $1 AND id = $2", owner.uuid(), parent.uuid())
                .fetch_optional(&mut **txn)
                .await?;
        found.ok_or(SubmitError::ParentNotFound(parent))?;
    }
    let satisfied = dependencies_lock_in_txn(txn, owner, &submission.depends_on).await?;
    let id = TaskId::new();
    row_insert_in_txn(txn, owner, id, submission, satisfied).await?;
    let parents: Vec<_> = submission.depends_on.iter().map(|parent| parent.uuid()).collect();
    if !parents.is_empty() {
        sqlx::query!(
            "INSERT INTO task_dependencies (task_id, depends_on_task_id) SELECT $1, unnest($2::uuid[])",
            id.uuid(),
            &parents,
        )
        .execute(&mut **txn)
        .await?;
    }
    Ok(id)
}

/// Locks the parents, so that none can end between this look and the commit, and tells whether all are done.
async fn dependencies_lock_in_txn(
    txn: &mut PgConnection,
    owner: OwnerId,
    parents: &[TaskId],
) -> Result<bool, SubmitError> {
    if parents.is_empty() {
        return Ok(true);
    }
    let ids: Vec<_> = parents.iter().map(|parent| parent.uuid()).collect();
    let found = sqlx::query!(
        r#"
        SELECT id AS "id: TaskId", status AS "status: TaskStatus" FROM tasks
        WHERE owner_id = $1 AND id = ANY($2) ORDER BY id FOR SHARE
        "#,
        owner.uuid(),
        &ids,
    )
    .fetch_all(txn)
    .await?;
    if found.len() < parents.len()
        && let Some(missing) = parents.iter().find(|parent| found.iter().all(|row| row.id != **parent))
    {
        return Err(SubmitError::DependencyNotFound(*missing));
    }
    Ok(found.iter().all(|row| TaskStatus::SATISFIED.contains(&row.status)))
}

async fn row_insert_in_txn(
    txn: &mut PgConnection,
    owner: OwnerId,
    id: TaskId,
    submission: &TaskSubmission,
    satisfied: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        WITH start AS (
            SELECT CASE WHEN $3 AND coalesce($4 <= now(), true) THEN 'queued' ELSE 'pending' END::task_status AS status
        ), created AS (
            INSERT INTO tasks (id, owner_id, status, queued_at, run_at, not_before, parent_task_id, name, plan,
                               description, repository_url, base_branch, target_branch, agent, env, priority,
                               max_retries, timeout_secs, checkpoint_interval_secs, completion_action, last_sequence)
            SELECT $1, $2, status, CASE WHEN status = 'queued' THEN now() END, $4, $4, $5, $6, $7, $8, $9, $10, $11,
                   $12, $13, coalesce($14::smallint, 50), coalesce($15::smallint, 3), $16, coalesce($17, 30), $18, 1
            FROM start
            RETURNING id, status
        )
        INSERT INTO task_events (task_id, sequence, epoch, kind, data)
        SELECT id, 1, 0, 'status', jsonb_build_object('transition', 'submitted', 'to', status) FROM created
        "#,
        id.uuid(),
        owner.uuid(),
        satisfied,
        submission.run_at,
        submission.parent_task_id.map(TaskId::uuid),
        submission.name,
        submission.plan,
        submission.description,
        submission.repository_url,
        submission.base_branch,
        submission.target_branch,
        Json(&submission.agent) as _,
        Json(&submission.env) as _,
        submission.priority,
        submission.max_retries,
        submission.timeout_secs,
        submission.checkpoint_interval_secs,
        submission.completion_action as CompletionAction,
    )
    .execute(txn)
    .await?;
    Ok(())
}
