//! Attempts: what an open one notes, and what is told of those that ended.

use super::{Fenced, Store, StoreError};
use crate::domain::{Attempt, AttemptOutcome, Epoch, OwnerId, Spend, TaskId, TokenUsage, WorkerId};

/// An attempt that a worker believes to be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpenAttempt {
    /// Its task.
    pub task_id: TaskId,
    /// Its epoch.
    pub epoch: Epoch,
}

/// An attempt that the store holds for a worker.
#[derive(Clone, Copy, Debug)]
pub struct HeldAttempt {
    /// Which one.
    pub attempt: OpenAttempt,
    /// How many retries its task has spent.
    pub retry_count: i16,
    /// How many it has in all.
    pub max_retries: i16,
    /// The number of its task's newest message; 0 if it has none.
    pub last_message: i32,
}

impl Store {
    /// Lists a task's attempts, oldest first.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn attempts_list(&self, owner: OwnerId, task: TaskId) -> Result<Vec<Attempt>, StoreError> {
        let attempts = sqlx::query!(
            r#"
            SELECT a.epoch AS "epoch: Epoch", a.worker_id AS "worker_id: WorkerId", w.name AS worker_name,
                   a.claimed_at, a.started_at, a.resumed_from, a.ended_at, a.outcome AS "outcome: AttemptOutcome",
                   a.exit_code, a.error_code, a.error_message, a.input_tokens, a.cached_input_tokens, a.output_tokens,
                   a.cost_usd
            FROM attempts a
            JOIN tasks t ON t.id = a.task_id
            JOIN workers w ON w.id = a.worker_id
            WHERE t.owner_id = $1 AND t.id = $2
            ORDER BY a.epoch LIMIT 1000
            "#,
            owner.uuid(),
            task.uuid(),
        )
        .map(|row| {
            let tokens = TokenUsage {
                input_tokens: row.input_tokens,
                cached_input_tokens: row.cached_input_tokens,
                output_tokens: row.output_tokens,
            };
            Attempt {
                epoch: row.epoch,
                worker_id: row.worker_id,
                worker_name: row.worker_name,
                claimed_at: row.claimed_at,
                started_at: row.started_at,
                resumed_from: row.resumed_from,
                ended_at: row.ended_at,
                outcome: row.outcome,
                exit_code: row.exit_code,
                error_code: row.error_code,
                error_message: row.error_message,
                spent: Spend { tokens, cost_usd: row.cost_usd },
            }
        })
        .fetch_all(&self.pool)
        .await?;
        Ok(attempts)
    }

    /// Notes what an attempt has spent so far.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn attempt_spent(&self, attempt: OpenAttempt, spent: &Spend) -> Result<Fenced<()>, StoreError> {
        let noted = sqlx::query!(
            r#"
            WITH head AS (
                SELECT id, epoch FROM tasks
                WHERE id = $1 AND epoch = $2 AND status IN ('starting', 'running')
                FOR NO KEY UPDATE
            )
            UPDATE attempts a SET input_tokens = $3, cached_input_tokens = $4, output_tokens = $5, cost_usd = $6
            FROM head WHERE a.task_id = head.id AND a.epoch = head.epoch
            "#,
            attempt.task_id.uuid(),
            attempt.epoch.number(),
            spent.tokens.input_tokens,
            spent.tokens.cached_input_tokens,
            spent.tokens.output_tokens,
            spent.cost_usd,
        )
        .execute(&self.pool)
        .await?;
        Ok(Fenced::from_option((noted.rows_affected() == 1).then_some(())))
    }

    /// Sums up what a task's attempts have spent.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn attempts_spent(&self, task: TaskId) -> Result<Spend, StoreError> {
        let row = sqlx::query!(
            r#"
            SELECT coalesce(sum(input_tokens), 0)::bigint AS "input_tokens!",
                   coalesce(sum(cached_input_tokens), 0)::bigint AS "cached_input_tokens!",
                   coalesce(sum(output_tokens), 0)::bigint AS "output_tokens!", sum(cost_usd) AS cost_usd
            FROM attempts WHERE task_id = $1
            "#,
            task.uuid(),
        )
        .fetch_one(&self.pool)
        .await?;
        let tokens = TokenUsage {
            input_tokens: row.input_tokens,
            cached_input_tokens: row.cached_input_tokens,
            output_tokens: row.output_tokens,
        };
        Ok(Spend { tokens, cost_usd: row.cost_usd })
    }

    /// Counts how many of a task's attempts ended in this way since the last one that counted against the task: those
    /// that were handed back, did not reach the repository or met a limit do not, whichever of these comes in between.
    /// A restart begins anew.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn attempts_streak(&self, task: TaskId, outcome: AttemptOutcome) -> Result<u32, StoreError> {
        let count = sqlx::query_scalar!(
            r#"
            SELECT count(*) AS "count!" FROM attempts
            WHERE task_id = $1 AND outcome = $2 AND epoch > greatest(
                (SELECT max(epoch) FROM attempts
                 WHERE task_id = $1 AND outcome NOT IN ('handed_back', 'repository_unreachable', 'agent_limited')),
                (SELECT restarted_at_epoch FROM tasks WHERE id = $1))
            "#,
            task.uuid(),
            outcome as AttemptOutcome,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Notes what an attempt starts from: the task's base commit, pinned from here on, and the checkpoint that it resumes.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn attempt_prepared(
        &self,
        attempt: OpenAttempt,
        base_commit: &str,
        resumed_from: Option<i32>,
    ) -> Result<Fenced<()>, StoreError> {
        let noted = sqlx::query!(
            r#"
            WITH head AS (
                UPDATE tasks SET base_commit = $3
                WHERE id = $1 AND epoch = $2 AND status IN ('starting', 'running')
                RETURNING id, epoch
            )
            UPDATE attempts a SET resumed_from = $4 FROM head WHERE a.task_id = head.id AND a.epoch = head.epoch
            "#,
            attempt.task_id.uuid(),
            attempt.epoch.number(),
            base_commit,
            resumed_from,
        )
        .execute(&self.pool)
        .await?;
        Ok(Fenced::from_option((noted.rows_affected() == 1).then_some(())))
    }

    /// Returns those of the given attempts after which nobody has had their task yet, and whose task may still go on from
    /// where they stopped.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn attempts_unfinished(&self, asked: &[OpenAttempt]) -> Result<Vec<OpenAttempt>, StoreError> {
        let (tasks, epochs): (Vec<_>, Vec<_>) =
            asked.iter().map(|attempt| (attempt.task_id.uuid(), attempt.epoch.number())).unzip();
        let unfinished = sqlx::query_as!(
            OpenAttempt,
            r#"
            SELECT t.id AS "task_id: TaskId", t.epoch AS "epoch: Epoch"
            FROM unnest($1::uuid[], $2::bigint[]) AS a (task_id, epoch) JOIN tasks t ON t.id = a.task_id
            WHERE t.epoch = a.epoch AND t.epoch > t.resumes_after_epoch
              AND t.status NOT IN ('done', 'merged', 'failed', 'cancelled')
            "#,
            &tasks,
            &epochs,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(unfinished)
    }

    /// Tells whether the task of an attempt may go on from what an earlier attempt left.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn attempt_may_resume(&self, task: TaskId, from: Epoch) -> Result<bool, StoreError> {
        let may = sqlx::query_scalar!(
            r#"SELECT resumes_after_epoch < $2 AS "may!" FROM tasks WHERE id = $1"#,
            task.uuid(),
            from.number(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(may.unwrap_or(false))
    }

    /// Notes the commit that an attempt is about to push, and returns the commits that the task's attempts noted before:
    /// only those may be replaced on the remote.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn attempt_pushing(
        &self,
        attempt: OpenAttempt,
        commit: &str,
    ) -> Result<Fenced<Vec<String>>, StoreError> {
        let earlier = sqlx::query_scalar!(
            r#"
            WITH head AS (
                SELECT id, epoch FROM tasks
                WHERE id = $1 AND epoch = $2 AND status IN ('starting', 'running')
                FOR NO KEY UPDATE
            ), noted AS (
                UPDATE attempts a SET pushing_commit = $3 FROM head WHERE a.task_id = head.id AND a.epoch = head.epoch
            )
            SELECT ARRAY(
                SELECT pushing_commit FROM attempts WHERE task_id = head.id AND pushing_commit IS NOT NULL
            ) AS "earlier!: Vec<String>"
            FROM head
            "#,
            attempt.task_id.uuid(),
            attempt.epoch.number(),
            commit,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(Fenced::from_option(earlier))
    }

    /// Notes a commit with the task's work that an attempt is about to bring into the base branch, and returns those that
    /// attempts of the same run noted before. Where `is_saved` says that the work is in the last checkpoint, a later attempt
    /// only has to finish this one: the agent does not run again, and what may be merged already stays as it is.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn attempt_merging(
        &self,
        attempt: OpenAttempt,
        commit: &str,
        is_saved: bool,
    ) -> Result<Fenced<Vec<String>>, StoreError> {
        let earlier = sqlx::query_scalar!(
            r#"
            WITH head AS (
                UPDATE tasks SET completion_only = completion_only OR $4
                WHERE id = $1 AND epoch = $2 AND status IN ('starting', 'running')
                RETURNING id, epoch, resumes_after_epoch
            ), noted AS (
                UPDATE attempts a SET pushing_commit = $3 FROM head WHERE a.task_id = head.id AND a.epoch = head.epoch
            )
            SELECT ARRAY(
                SELECT pushing_commit FROM attempts
                WHERE task_id = head.id AND pushing_commit IS NOT NULL AND epoch > resumes_after_epoch
            ) AS "earlier!: Vec<String>"
            FROM head
            "#,
            attempt.task_id.uuid(),
            attempt.epoch.number(),
            commit,
            is_saved,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(Fenced::from_option(earlier))
    }

    /// Lists the attempts that a worker holds: what it compares with those that it runs.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn attempts_of_worker(&self, worker: WorkerId) -> Result<Vec<HeldAttempt>, StoreError> {
        let held = sqlx::query!(
            r#"
            SELECT id AS "task_id: TaskId", epoch AS "epoch: Epoch", retry_count, max_retries, last_message
            FROM tasks WHERE worker_id = $1
            "#,
            worker.uuid(),
        )
        .map(|row| HeldAttempt {
            attempt: OpenAttempt { task_id: row.task_id, epoch: row.epoch },
            retry_count: row.retry_count,
            max_retries: row.max_retries,
            last_message: row.last_message,
        })
        .fetch_all(&self.pool)
        .await?;
        Ok(held)
    }
}
