//! Checkpoints and their patches.

use std::time::Duration;

use super::{Fenced, Store, StoreError};
use crate::domain::{
    Checkpoint, CheckpointTrigger, Epoch, NewCheckpoint, OwnerId, SourceTask, StoredCommits, StoredPatch,
    TaskId,
};

/// Where a checkpoint was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointWritten {
    /// Its number.
    pub number: i32,
    /// The number of its event.
    pub sequence: i64,
}

impl Store {
    /// Stores a checkpoint, its patch, the agent's commits and its event, if the attempt is still the task's current one.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn checkpoint_create(
        &self,
        task: TaskId,
        epoch: Epoch,
        checkpoint: &NewCheckpoint,
        keep: Duration,
    ) -> Result<Fenced<CheckpointWritten>, StoreError> {
        let commits = checkpoint.commits.as_ref();
        let written = sqlx::query_as!(
            CheckpointWritten,
            r#"
            WITH head AS (
                UPDATE tasks SET last_sequence = last_sequence + 1, last_checkpoint = last_checkpoint + 1
                WHERE id = $1 AND epoch = $2 AND status IN ('starting', 'running')
                RETURNING id, epoch, last_sequence, last_checkpoint
            ), stored AS (
                INSERT INTO task_checkpoints (task_id, number, epoch, trigger, base_commit, tree_id, files_changed,
                                              lines_added, lines_removed, duration_ms, message)
                SELECT id, last_checkpoint, epoch, $3, $4, $5, $6, $7, $8, $9, $14 FROM head
            ), patch AS (
                INSERT INTO checkpoint_patches (task_id, number, patch_gzip, unpacked_bytes, sha256, expires_at,
                                                commits_pack, commits_refs, commits_sha256)
                SELECT id, last_checkpoint, $10, $11, $12, now() + make_interval(secs => $13), $15, $16, $17 FROM head
            ), event AS (
                INSERT INTO task_events (task_id, sequence, epoch, kind, data)
                SELECT id, last_sequence, epoch, 'checkpoint', jsonb_build_object(
                    'number', last_checkpoint, 'trigger', $3, 'treeId', $5::text, 'filesChanged', $6::integer,
                    'linesAdded', $7::bigint, 'linesRemoved', $8::bigint, 'patchBytes', length($10::bytea))
                    || CASE WHEN $14::text IS NULL THEN '{}' ELSE jsonb_build_object('message', $14::text) END
                FROM head
            )
            SELECT last_checkpoint AS number, last_sequence AS sequence FROM head
            "#,
            task.uuid(),
            epoch.number(),
            checkpoint.trigger as CheckpointTrigger,
            checkpoint.base_commit,
            checkpoint.tree_id,
            checkpoint.files_changed,
            checkpoint.lines_added,
            checkpoint.lines_removed,
            checkpoint.duration_ms,
            checkpoint.patch_gzip,
            checkpoint.unpacked_bytes,
            checkpoint.sha256.as_slice(),
            keep.as_secs_f64(),
            checkpoint.message,
            commits.map(|commits| commits.pack.as_slice()),
            commits.map(|commits| &commits.refs),
            commits.map(|commits| commits.sha256.as_slice()),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(Fenced::from_option(written))
    }

    /// Lists a task's checkpoints, newest first, 1,000 at most. `None` for a task that the owner does not have.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn checkpoints_list(
        &self,
        owner: OwnerId,
        task: TaskId,
    ) -> Result<Option<Vec<Checkpoint>>, StoreError> {
        let checkpoints = self.checkpoints_read(owner, task, 1000).await?;
        if checkpoints.is_empty() && !self.task_exists(owner, task).await? {
            return Ok(None);
        }
        Ok(Some(checkpoints))
    }

    /// Returns a task's newest checkpoint.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn checkpoint_last(
        &self,
        owner: OwnerId,
        task: TaskId,
    ) -> Result<Option<Checkpoint>, StoreError> {
        Ok(self.checkpoints_read(owner, task, 1).await?.pop())
    }

    async fn checkpoints_read(
        &self,
        owner: OwnerId,
        task: TaskId,
        limit: i64,
    ) -> Result<Vec<Checkpoint>, StoreError> {
        let checkpoints = sqlx::query_as!(
            Checkpoint,
            r#"
            SELECT c.number, c.epoch AS "epoch: Epoch", c.trigger AS "trigger: CheckpointTrigger", c.message,
                   c.base_commit, c.tree_id, c.files_changed, c.lines_added, c.lines_removed, c.duration_ms, c.created_at,
                   length(p.patch_gzip)::bigint AS patch_bytes
            FROM task_checkpoints c
            JOIN tasks t ON t.id = c.task_id
            LEFT JOIN checkpoint_patches p ON p.task_id = c.task_id AND p.number = c.number
            WHERE t.owner_id = $1 AND t.id = $2
            ORDER BY c.number DESC LIMIT $3
            "#,
            owner.uuid(),
            task.uuid(),
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(checkpoints)
    }

    /// Returns the compressed patch of one of the owner's checkpoints.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn checkpoint_patch(
        &self,
        owner: OwnerId,
        task: TaskId,
        number: i32,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let patch = sqlx::query_scalar!(
            r#"
            SELECT p.patch_gzip FROM checkpoint_patches p JOIN tasks t ON t.id = p.task_id
            WHERE t.owner_id = $1 AND t.id = $2 AND p.number = $3
            "#,
            owner.uuid(),
            task.uuid(),
            number,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(patch)
    }

    /// Returns the newest patch with a number below `before`: what an attempt resumes from, or the one to fall back to
    /// when that turns out to be bad. Those of a run that ended well before the task was started again are left alone.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn checkpoint_patch_before(
        &self,
        task: TaskId,
        before: i32,
    ) -> Result<Option<StoredPatch>, StoreError> {
        let patch = sqlx::query!(
            r#"
            SELECT c.number, c.base_commit, c.tree_id, p.patch_gzip, p.sha256,
                   p.commits_pack, p.commits_refs, p.commits_sha256
            FROM tasks t
            JOIN task_checkpoints c ON c.task_id = t.id AND c.epoch > t.resumes_after_epoch
            JOIN checkpoint_patches p ON p.task_id = c.task_id AND p.number = c.number
            WHERE t.id = $1 AND c.number < $2
            ORDER BY c.number DESC LIMIT 1
            "#,
            task.uuid(),
            before,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(patch.map(|row| StoredPatch {
            number: row.number,
            base_commit: row.base_commit,
            tree_id: row.tree_id,
            patch_gzip: row.patch_gzip,
            sha256: row.sha256,
            commits: StoredCommits::from_columns(row.commits_pack, row.commits_refs, row.commits_sha256),
        }))
    }

    /// Returns what another task of the same owner has saved; `None` if it is gone.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn source_task(&self, task: TaskId, source: TaskId) -> Result<Option<SourceTask>, StoreError> {
        let found = sqlx::query_as!(
            SourceTask,
            r#"
            SELECT s.base_commit, CASE WHEN s.result_branch IS NOT NULL THEN s.result_commit END AS pushed_commit,
                   s.last_checkpoint > 0 AS "has_checkpoints!"
            FROM tasks t JOIN tasks s ON s.owner_id = t.owner_id AND s.repository_url = t.repository_url
            WHERE t.id = $1 AND s.id = $2
            "#,
            task.uuid(),
            source.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(found)
    }

    /// Returns the newest patch of another task of the same owner with a number below `before`, and with this tree if one is
    /// given.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn source_patch_before(
        &self,
        task: TaskId,
        source: TaskId,
        tree_id: Option<&str>,
        before: i32,
    ) -> Result<Option<StoredPatch>, StoreError> {
        let patch = sqlx::query!(
            r#"
            SELECT c.number, c.base_commit, c.tree_id, p.patch_gzip, p.sha256,
                   p.commits_pack, p.commits_refs, p.commits_sha256
            FROM tasks t
            JOIN tasks s ON s.owner_id = t.owner_id
            JOIN task_checkpoints c ON c.task_id = s.id
            JOIN checkpoint_patches p ON p.task_id = c.task_id AND p.number = c.number
            WHERE t.id = $1 AND s.id = $2 AND c.number < $3 AND ($4::text IS NULL OR c.tree_id = $4)
            ORDER BY c.number DESC LIMIT 1
            "#,
            task.uuid(),
            source.uuid(),
            before,
            tree_id,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(patch.map(|row| StoredPatch {
            number: row.number,
            base_commit: row.base_commit,
            tree_id: row.tree_id,
            patch_gzip: row.patch_gzip,
            sha256: row.sha256,
            commits: StoredCommits::from_columns(row.commits_pack, row.commits_refs, row.commits_sha256),
        }))
    }

    /// Deletes up to `limit` expired patches, but never the last one of a task that may still run. Returns how many.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn checkpoint_patches_prune(&self, limit: i64) -> Result<u64, StoreError> {
        let pruned = sqlx::query!(
            r#"
            DELETE FROM checkpoint_patches WHERE (task_id, number) IN (
                SELECT p.task_id, p.number
                FROM checkpoint_patches p JOIN tasks t ON t.id = p.task_id
                WHERE p.expires_at < now()
                  AND (t.finished_at IS NOT NULL OR p.number < t.last_checkpoint)
                ORDER BY p.expires_at LIMIT $1
            )
            "#,
            limit,
        )
        .execute(&self.pool)
        .await?;
        Ok(pruned.rows_affected())
    }
}
