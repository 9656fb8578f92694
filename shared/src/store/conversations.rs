//! The conversations of agents, each with the checkpoint that it goes with.

use std::time::Duration;

use super::{Fenced, OpenAttempt, Store, StoreError};
use crate::domain::{AgentClient, OwnerId, SavedConversation, TaskId};

/// How many conversations of a task are kept: as many checkpoints may turn out to be bad.
const KEPT: i64 = 3;

impl Store {
    /// Stores a conversation with the checkpoint that has this number, 0 before the first, in place of one that went
    /// with it. Older ones go, all but a few.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn conversation_save(
        &self,
        attempt: OpenAttempt,
        number: i32,
        conversation: &SavedConversation,
        keep: Duration,
    ) -> Result<Fenced<()>, StoreError> {
        let saved = sqlx::query_scalar!(
            r#"
            WITH head AS (
                SELECT id, epoch FROM tasks
                WHERE id = $1 AND epoch = $2 AND status IN ('starting', 'running')
                FOR NO KEY UPDATE
            ), old AS (
                DELETE FROM checkpoint_conversations c USING head
                WHERE c.task_id = head.id AND c.number < coalesce((
                    SELECT number FROM checkpoint_conversations WHERE task_id = $1 AND number < $3
                    ORDER BY number DESC OFFSET $11 LIMIT 1), 0)
            )
            INSERT INTO checkpoint_conversations AS c (task_id, number, epoch, client, session, path, content_gzip,
                                                       unpacked_bytes, sha256, expires_at)
            SELECT id, $3, epoch, $4, $5, $6, $7, $8, $9, now() + make_interval(secs => $10) FROM head
            ON CONFLICT (task_id, number) DO UPDATE SET
                epoch = EXCLUDED.epoch, client = EXCLUDED.client, session = EXCLUDED.session, path = EXCLUDED.path,
                content_gzip = EXCLUDED.content_gzip, unpacked_bytes = EXCLUDED.unpacked_bytes, sha256 = EXCLUDED.sha256,
                expires_at = EXCLUDED.expires_at
            RETURNING number
            "#,
            attempt.task_id.uuid(),
            attempt.epoch.number(),
            number,
            conversation.client.as_str(),
            conversation.session,
            conversation.path,
            conversation.content_gzip,
            conversation.unpacked_bytes,
            conversation.sha256,
            keep.as_secs_f64(),
            KEPT - 2,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(Fenced::from_option(saved.map(|_number| ())))
    }

    /// Returns the newest conversation of a client that goes with this checkpoint or one before it. Those of a run that
    /// ended well before the task was started again are left alone.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn conversation_of_checkpoint(
        &self,
        task: TaskId,
        number: i32,
        client: AgentClient,
    ) -> Result<Option<SavedConversation>, StoreError> {
        let row = sqlx::query!(
            r#"
            SELECT c.session, c.path, c.content_gzip, c.unpacked_bytes, c.sha256
            FROM checkpoint_conversations c JOIN tasks t ON t.id = c.task_id AND c.epoch > t.resumes_after_epoch
            WHERE c.task_id = $1 AND c.number <= $2 AND c.client = $3
            ORDER BY c.number DESC LIMIT 1
            "#,
            task.uuid(),
            number,
            client.as_str(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| SavedConversation {
            client,
            session: row.session,
            path: row.path,
            content_gzip: row.content_gzip,
            unpacked_bytes: row.unpacked_bytes,
            sha256: row.sha256,
        }))
    }

    /// Returns the newest conversation of one of the owner's tasks.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn conversation_last(
        &self,
        owner: OwnerId,
        task: TaskId,
    ) -> Result<Option<SavedConversation>, StoreError> {
        let row = sqlx::query!(
            r#"
            SELECT c.client, c.session, c.path, c.content_gzip, c.unpacked_bytes, c.sha256
            FROM checkpoint_conversations c JOIN tasks t ON t.id = c.task_id
            WHERE t.owner_id = $1 AND t.id = $2
            ORDER BY c.epoch DESC, c.number DESC LIMIT 1
            "#,
            owner.uuid(),
            task.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.and_then(|row| {
            Some(SavedConversation {
                client: AgentClient::of_name(&row.client)?,
                session: row.session,
                path: row.path,
                content_gzip: row.content_gzip,
                unpacked_bytes: row.unpacked_bytes,
                sha256: row.sha256,
            })
        }))
    }

    /// Deletes a task's conversations, which its client does not take: the next attempt begins a new one.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn conversations_forget(&self, attempt: OpenAttempt) -> Result<Fenced<()>, StoreError> {
        let head = sqlx::query_scalar!(
            r#"
            WITH head AS (
                SELECT id FROM tasks
                WHERE id = $1 AND epoch = $2 AND status IN ('starting', 'running')
                FOR NO KEY UPDATE
            ), gone AS (
                DELETE FROM checkpoint_conversations c USING head WHERE c.task_id = head.id
            )
            SELECT id FROM head
            "#,
            attempt.task_id.uuid(),
            attempt.epoch.number(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(Fenced::from_option(head.map(|_id| ())))
    }

    /// Deletes up to `limit` expired conversations of tasks that have ended. Returns how many.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn conversations_prune(&self, limit: i64) -> Result<u64, StoreError> {
        let pruned = sqlx::query!(
            r#"
            DELETE FROM checkpoint_conversations WHERE (task_id, number) IN (
                SELECT c.task_id, c.number
                FROM checkpoint_conversations c JOIN tasks t ON t.id = c.task_id
                WHERE c.expires_at < now() AND t.finished_at IS NOT NULL
                ORDER BY c.expires_at LIMIT $1
            )
            "#,
            limit,
        )
        .execute(&self.pool)
        .await?;
        Ok(pruned.rows_affected())
    }
}
