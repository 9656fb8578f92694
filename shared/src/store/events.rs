//! Events: written by attempts in batches, read by whoever looks.

use serde_json::Value;

use super::{Fenced, Store, StoreError};
use crate::domain::{Epoch, EventKind, OwnerId, TaskEvent, TaskId};

impl Store {
    /// Appends events of one kind to a task's history, and returns the last one's number. Does nothing for no events.
    ///
    /// The task's row is the lock and the counter, so numbers have no gaps and a closed epoch gets none.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn events_append(
        &self,
        task: TaskId,
        epoch: Epoch,
        kind: EventKind,
        data: &[Value],
    ) -> Result<Fenced<i64>, StoreError> {
        let last = sqlx::query_scalar!(
            r#"
            WITH head AS (
                UPDATE tasks SET
                    last_sequence = last_sequence + cardinality($4::jsonb[]),
                    has_output = has_output OR ($3 = 'output'::event_kind AND cardinality($4::jsonb[]) > 0)
                WHERE id = $1 AND epoch = $2 AND status IN ('starting', 'running')
                RETURNING id, epoch, last_sequence, last_sequence - cardinality($4::jsonb[]) AS before
            ), written AS (
                INSERT INTO task_events (task_id, sequence, epoch, kind, data)
                SELECT head.id, head.before + item.place, head.epoch, $3, item.data
                FROM head, unnest($4::jsonb[]) WITH ORDINALITY AS item (data, place)
            )
            SELECT last_sequence FROM head
            "#,
            task.uuid(),
            epoch.number(),
            kind as EventKind,
            data,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(Fenced::from_option(last))
    }

    /// Appends one batch of an attempt's output, and returns the last line's number; none if the batch was written before,
    /// by a call whose reply was lost. `batch` counts the attempt's batches from 0, each given until it is accepted.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn output_append(
        &self,
        task: TaskId,
        epoch: Epoch,
        batch: i64,
        lines: &[Value],
    ) -> Result<Fenced<Option<i64>>, StoreError> {
        let last = sqlx::query_scalar!(
            r#"
            WITH head AS (
                UPDATE tasks SET
                    last_sequence = last_sequence + cardinality($4::jsonb[]), output_batches = output_batches + 1,
                    has_output = true
                WHERE id = $1 AND epoch = $2 AND status IN ('starting', 'running') AND output_batches = $3
                RETURNING id, epoch, last_sequence, last_sequence - cardinality($4::jsonb[]) AS before
            ), written AS (
                INSERT INTO task_events (task_id, sequence, epoch, kind, data)
                SELECT head.id, head.before + item.place, head.epoch, 'output', item.data
                FROM head, unnest($4::jsonb[]) WITH ORDINALITY AS item (data, place)
            )
            SELECT last_sequence FROM head
            "#,
            task.uuid(),
            epoch.number(),
            batch,
            lines,
        )
        .fetch_optional(&self.pool)
        .await?;
        match last {
            Some(last) => Ok(Fenced::Accepted(Some(last))),
            None => Ok(Fenced::from_option(self.output_written(task, epoch, batch).await?.then_some(None))),
        }
    }

    /// Counts the rounds of a task in loop mode, by their notices of this code, that left it unfinished since it was last
    /// started anew.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn loop_rounds_count(&self, task: TaskId, code: &str) -> Result<i64, StoreError> {
        let count = sqlx::query_scalar!(
            r#"
            SELECT count(*) AS "count!"
            FROM task_events e JOIN tasks t ON t.id = e.task_id AND e.epoch > t.resumes_after_epoch
            WHERE e.task_id = $1 AND e.kind = 'notice' AND e.data->>'code' = $2
              AND e.data->>'ready' = 'false'
            "#,
            task.uuid(),
            code,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(count)
    }

    async fn output_written(&self, task: TaskId, epoch: Epoch, batch: i64) -> Result<bool, StoreError> {
        let written = sqlx::query_scalar!(
            r#"
            SELECT EXISTS (
                SELECT FROM tasks
                WHERE id = $1 AND epoch = $2 AND status IN ('starting', 'running') AND output_batches > $3
            ) AS "written!"
            "#,
            task.uuid(),
            epoch.number(),
            batch,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(written)
    }

    /// Returns a task's events behind `after`, in order. `None` for a task that the owner does not have.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn events_list(
        &self,
        owner: OwnerId,
        task: TaskId,
        after: i64,
        limit: i64,
        only: Option<EventKind>,
    ) -> Result<Option<Vec<TaskEvent>>, StoreError> {
        let events = sqlx::query_as!(
            TaskEvent,
            r#"
            SELECT e.sequence, e.epoch AS "epoch: Epoch", e.kind AS "kind: EventKind", e.data, e.created_at
            FROM task_events e JOIN tasks t ON t.id = e.task_id
            WHERE t.owner_id = $1 AND t.id = $2 AND e.sequence > $3 AND ($5::event_kind IS NULL OR e.kind = $5)
            ORDER BY e.sequence LIMIT $4
            "#,
            owner.uuid(),
            task.uuid(),
            after,
            limit,
            only as Option<EventKind>,
        )
        .fetch_all(&self.pool)
        .await?;
        if events.is_empty() && !self.task_exists(owner, task).await? {
            return Ok(None);
        }
        Ok(Some(events))
    }

    /// Tells whether events before a number are no more, or any of the task's if no number is given: old output is deleted.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn events_are_missing(
        &self,
        owner: OwnerId,
        task: TaskId,
        before: Option<i64>,
    ) -> Result<bool, StoreError> {
        let missing = sqlx::query_scalar!(
            r#"
            SELECT coalesce($3, t.last_sequence + 1) - 1 > (
                SELECT count(*) FROM task_events e
                WHERE e.task_id = t.id AND e.sequence < coalesce($3, t.last_sequence + 1)) AS "missing!"
            FROM tasks t WHERE t.owner_id = $1 AND t.id = $2
            "#,
            owner.uuid(),
            task.uuid(),
            before,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(missing.unwrap_or(false))
    }
}
