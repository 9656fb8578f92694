//! Messages to agents: taken in order while their task goes on, and noted as delivered by the attempt whose agent took
//! them up.
//!
//! The task's row is the lock and the counter, so numbers have no gaps, and none is taken once the task has ended.

use sqlx::types::Json;

use super::{Fenced, OpenAttempt, Store, StoreError};
use crate::domain::{
    Agent, Epoch, MessageId, MessageText, OwnerId, TaskId, TaskMessage, TaskStatus, WorkerId,
};

/// How many messages of a task may wait for its agent.
const MAX_WAITING: i64 = 100;
/// How many messages a task may have in all: an agent that begins anew gets them all.
const MAX_MESSAGES: i32 = 1000;

/// A message that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageTaken {
    /// Its place among the task's messages.
    pub number: i32,
    /// The worker that holds the task.
    pub held_by: Option<WorkerId>,
    /// The attempt that is open, if one is.
    pub epoch: Epoch,
}

/// Names a message of a task that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageKey {
    /// Its place among the task's messages.
    pub number: i32,
    /// Its name.
    pub id: MessageId,
    /// An agent has taken it up before.
    pub is_delivered: bool,
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// The owner has no such task.
    #[error("there is no such task")]
    NotFound,
    /// The task has ended.
    #[error("the task is {0}")]
    Ended(TaskStatus),
    /// Its kind of agent takes none.
    #[error("the task's agent takes no messages")]
    NotTaken,
    /// Too many wait already.
    #[error("{MAX_WAITING} messages wait for the agent already")]
    TooManyWaiting,
    /// The task has had as many as it may.
    #[error("the task has had {MAX_MESSAGES} messages, which are all that it may have")]
    TooMany,
    /// PostgreSQL is away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for MessageError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Takes a message to the agent of one of the owner's tasks.
    ///
    /// # Errors
    /// See [`MessageError`]. If PostgreSQL fails, whether it was taken is not known: the list tells, by its id.
    pub async fn message_add(
        &self,
        owner: OwnerId,
        task: TaskId,
        id: MessageId,
        text: &MessageText,
    ) -> Result<MessageTaken, MessageError> {
        let mut txn = self.pool.begin().await?;
        let row = sqlx::query!(
            r#"
            SELECT status AS "status: TaskStatus", agent AS "agent: Json<Agent>", last_message,
                   worker_id AS "worker_id: WorkerId", epoch AS "epoch: Epoch",
                   (SELECT count(*) FROM task_messages m WHERE m.task_id = t.id AND m.delivered_at IS NULL) AS "waiting!"
            FROM tasks t WHERE owner_id = $1 AND id = $2
            FOR NO KEY UPDATE
            "#,
            owner.uuid(),
            task.uuid(),
        )
        .fetch_optional(&mut *txn)
        .await?
        .ok_or(MessageError::NotFound)?;
        if row.agent.client().is_none() {
            return Err(MessageError::NotTaken);
        }
        if row.status.is_terminal() {
            return Err(MessageError::Ended(row.status));
        }
        if row.waiting >= MAX_WAITING {
            return Err(MessageError::TooManyWaiting);
        }
        if row.last_message >= MAX_MESSAGES {
            return Err(MessageError::TooMany);
        }
        let number = row.last_message + 1;
        sqlx::query!("UPDATE tasks SET last_message = $2 WHERE id = $1", task.uuid(), number)
            .execute(&mut *txn)
            .await?;
        sqlx::query!(
            "INSERT INTO task_messages (task_id, number, id, text) VALUES ($1, $2, $3, $4)",
            task.uuid(),
            number,
            id.uuid(),
            text.as_str(),
        )
        .execute(&mut *txn)
        .await?;
        txn.commit().await?;
        Ok(MessageTaken { number, held_by: row.worker_id, epoch: row.epoch })
    }

    /// Lists the messages of one of the owner's tasks behind a number. `None` for a task that the owner does not have.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn messages_list(
        &self,
        owner: OwnerId,
        task: TaskId,
        after: i64,
        limit: i64,
    ) -> Result<Option<Vec<TaskMessage>>, StoreError> {
        let messages = sqlx::query_as!(
            TaskMessage,
            r#"
            SELECT m.number, m.id AS "id: MessageId", m.text, m.created_at, m.delivered_at,
                   m.delivered_epoch AS "delivered_epoch: Epoch"
            FROM task_messages m JOIN tasks t ON t.id = m.task_id
            WHERE t.owner_id = $1 AND t.id = $2 AND m.number > $3
            ORDER BY m.number LIMIT $4
            "#,
            owner.uuid(),
            task.uuid(),
            i32::try_from(after).unwrap_or(i32::MAX),
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        if messages.is_empty() && !self.task_exists(owner, task).await? {
            return Ok(None);
        }
        Ok(Some(messages))
    }

    /// Names a task's messages behind a number, in order.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn messages_after(&self, task: TaskId, number: i32) -> Result<Vec<MessageKey>, StoreError> {
        let keys = sqlx::query_as!(
            MessageKey,
            r#"
            SELECT number, id AS "id: MessageId", delivered_at IS NOT NULL AS "is_delivered!"
            FROM task_messages WHERE task_id = $1 AND number > $2
            ORDER BY number LIMIT $3
            "#,
            task.uuid(),
            number,
            i64::from(MAX_MESSAGES),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(keys)
    }

    /// Returns the text of a message.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn message_text(&self, task: TaskId, number: i32) -> Result<Option<String>, StoreError> {
        let text = sqlx::query_scalar!(
            "SELECT text FROM task_messages WHERE task_id = $1 AND number = $2",
            task.uuid(),
            number,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(text)
    }

    /// Notes that the agent of this attempt has taken messages up.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn messages_delivered(
        &self,
        attempt: OpenAttempt,
        numbers: &[i32],
    ) -> Result<Fenced<()>, StoreError> {
        let head = sqlx::query_scalar!(
            r#"
            WITH head AS (
                SELECT id, epoch FROM tasks
                WHERE id = $1 AND epoch = $2 AND status IN ('starting', 'running')
                FOR NO KEY UPDATE
            ), noted AS (
                UPDATE task_messages m SET delivered_at = now(), delivered_epoch = head.epoch
                FROM head WHERE m.task_id = head.id AND m.number = ANY($3)
                  AND m.delivered_epoch IS DISTINCT FROM head.epoch
            )
            SELECT id FROM head
            "#,
            attempt.task_id.uuid(),
            attempt.epoch.number(),
            numbers,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(Fenced::from_option(head.map(|_id| ())))
    }
}
