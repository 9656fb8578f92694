//! The one statement behind every [`Transition`].

use std::time::Instant;

use chrono::{DateTime, Utc};

use super::ReadyTask;
use crate::domain::{AttemptOutcome, Epoch, OwnerId, TaskId, TaskStatus, Transition, WorkerId};
use crate::store::{Store, StoreError};
use crate::telemetry::record;

/// What became of a transition.
#[derive(Clone, Debug)]
#[must_use = "a transition may be refused"]
pub enum Applied {
    /// The task moved.
    Moved(Moved),
    /// The task is not where the transition starts, or its epoch is another: nothing changed.
    Refused,
}

/// A task that moved.
#[derive(Clone, Debug)]
pub struct Moved {
    /// Where it stood.
    pub from: TaskStatus,
    /// Its epoch; that of the attempt which ended, if one did.
    pub epoch: Epoch,
    /// The worker that held it before.
    pub held_by: Option<WorkerId>,
    /// The number of the event that tells of it.
    pub sequence: i64,
    priority: i16,
    queued_at: Option<DateTime<Utc>>,
    excluded_worker_ids: Vec<WorkerId>,
}

impl Moved {
    /// Returns what the queue needs to know of the task, which the transition must have led to `queued`.
    #[must_use]
    pub fn ready(&self, id: TaskId) -> ReadyTask {
        ReadyTask {
            id,
            priority: self.priority,
            queued_at: self.queued_at.unwrap_or_else(Utc::now),
            excluded_worker_ids: self.excluded_worker_ids.clone(),
        }
    }
}

impl Store {
    /// Applies a transition that an attempt or the scheduler makes. One with an epoch is fenced by it.
    ///
    /// # Errors
    /// PostgreSQL is away. Whether the task moved is then not known; applying the same fenced transition again is safe.
    pub async fn task_transition(
        &self,
        task: TaskId,
        transition: &Transition,
    ) -> Result<Applied, StoreError> {
        self.transition(None, task, transition).await
    }

    /// Applies a transition that an owner asks for.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn task_transition_by_owner(
        &self,
        owner: OwnerId,
        task: TaskId,
        transition: &Transition,
    ) -> Result<Applied, StoreError> {
        self.transition(Some(owner), task, transition).await
    }

    #[allow(clippy::too_many_lines, reason = "one statement, and its parameters one to a line")]
    async fn transition(
        &self,
        owner: Option<OwnerId>,
        task: TaskId,
        transition: &Transition,
    ) -> Result<Applied, StoreError> {
        let begun = Instant::now();
        // The attempt of a held task is always there, so its INSERT always turns into the UPDATE. A plain UPDATE would not
        // see the attempt of a claim that this statement had to wait for.
        let moved = sqlx::query_as!(
            Moved,
            r#"
            WITH held AS (
                SELECT id, status, worker_id FROM tasks
                WHERE id = $1 AND status = ANY($2::task_status[]) AND ($3::bigint IS NULL OR epoch = $3)
                  AND ($4::uuid IS NULL OR owner_id = $4)
                FOR NO KEY UPDATE
            ), moved AS (
                UPDATE tasks t SET
                    status = $5::task_status,
                    worker_id = CASE WHEN $5::task_status IN ('starting', 'running') THEN t.worker_id END,
                    retry_count = t.retry_count + $6::boolean::integer::smallint,
                    not_before = now() + make_interval(secs => $7::float8),
                    excluded_worker_ids = CASE WHEN $8::uuid IS NULL OR $8 = ANY(t.excluded_worker_ids)
                        THEN t.excluded_worker_ids ELSE t.excluded_worker_ids || $8::uuid END,
                    queued_at = CASE WHEN $5::task_status = 'queued' THEN now() ELSE t.queued_at END,
                    status_code = $9,
                    status_message = $10,
                    result_commit = coalesce($11, t.result_commit),
                    result_branch = coalesce($12, t.result_branch),
                    completion_error = $13,
                    finished_at = CASE WHEN $5::task_status IN ('done', 'merged', 'failed', 'cancelled') THEN now() END,
                    last_sequence = t.last_sequence + 1,
                    version = t.version + 1,
                    updated_at = now()
                FROM held WHERE t.id = held.id
                RETURNING t.id, t.epoch, t.last_sequence, t.priority, t.queued_at, t.excluded_worker_ids, t.not_before,
                          held.status AS left_status, held.worker_id AS held_by
            ), attempt AS (
                INSERT INTO attempts AS a (task_id, epoch, worker_id, started_at, ended_at, outcome, exit_code,
                                           error_code, error_message)
                SELECT id, epoch, held_by, CASE WHEN $5::task_status = 'running' THEN now() END,
                       CASE WHEN $14::attempt_outcome IS NOT NULL THEN now() END, $14, $15, $9, $10
                FROM moved WHERE held_by IS NOT NULL
                ON CONFLICT (task_id, epoch) DO UPDATE SET
                    started_at = coalesce(EXCLUDED.started_at, a.started_at), ended_at = EXCLUDED.ended_at,
                    outcome = EXCLUDED.outcome, exit_code = EXCLUDED.exit_code, error_code = EXCLUDED.error_code,
                    error_message = EXCLUDED.error_message
                    WHERE a.ended_at IS NULL
            ), event AS (
                INSERT INTO task_events (task_id, sequence, epoch, kind, data)
                SELECT id, last_sequence, epoch, 'status', jsonb_strip_nulls(jsonb_build_object(
                    'transition', $16::text, 'from', left_status, 'to', $5::task_status, 'code', $9::text, 'message', $10::text,
                    'workerId', held_by, 'outcome', $14::attempt_outcome, 'exitCode', $15::integer, 'notBefore', not_before,
                    'resultCommit', $11::text, 'resultBranch', $12::text, 'completionError', $13::text))
                FROM moved
            )
            SELECT left_status AS "from: TaskStatus", epoch AS "epoch: Epoch", held_by AS "held_by: WorkerId",
                   last_sequence AS sequence, priority, queued_at,
                   excluded_worker_ids AS "excluded_worker_ids: Vec<WorkerId>"
            FROM moved
            "#,
            task.uuid(),
            transition.from as &[TaskStatus],
            transition.epoch.map(Epoch::number),
            owner.map(OwnerId::uuid),
            transition.to as TaskStatus,
            transition.spends_retry,
            transition.delay.map(|delay| delay.as_secs_f64()),
            transition.exclude.map(WorkerId::uuid),
            transition.reason.as_ref().map(|reason| reason.code),
            transition.reason.as_ref().map(|reason| reason.message.as_str()),
            transition.result.commit.as_deref(),
            transition.result.branch.as_deref(),
            transition.result.completion_error.as_deref(),
            transition.attempt_end.as_ref().map(|end| end.outcome) as Option<AttemptOutcome>,
            transition.attempt_end.as_ref().and_then(|end| end.exit_code),
            transition.name,
        )
        .fetch_optional(&self.pool)
        .await?;
        record::transition(begun, transition, moved.as_ref().map(|moved| moved.from));
        Ok(moved.map_or(Applied::Refused, Applied::Moved))
    }
}
