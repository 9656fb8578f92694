//! The one statement behind every [`Transition`], for one task or for many.
//!
//! It locks the rows, checks the statuses that may be left and the epochs, moves, closes the attempts and writes the events.
//! Where a task is done it also settles the edges to the tasks that wait for it, and releases those that now wait for
//! nothing. A wide fan-out is left to the scheduler: see `settle.rs`, which does the same in batches.
//!
//! A task whose completion alone is left to be done has an agent that has ended well. What would fail it makes it
//! `done` again: it keeps its result, and its completion says what went wrong.

use std::collections::HashMap;

use std::time::Instant;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::ReadyTask;
use crate::domain::{AttemptOutcome, Epoch, OwnerId, TaskId, TaskStatus, Transition, WorkerId};
use crate::store::{Store, StoreError};
use crate::telemetry::record;

/// The most children that a task's end settles by itself. More are the scheduler's.
const INLINE_CHILDREN: i64 = 100;
/// What no number of rows reaches. Of a limit that it does not know PostgreSQL thinks that it leaves few rows, and goes to
/// the tasks by their keys then, however small the table was when the plan was made.
const NO_LIMIT: i64 = i64::MAX;

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
    /// Whose it is.
    pub owner_id: OwnerId,
    /// What it asks a worker for.
    pub labels: Vec<String>,
    /// The worker that held it before.
    pub held_by: Option<WorkerId>,
    /// The number of the event that tells of it.
    pub sequence: i64,
    /// There is something for the scheduler: children to be told, or a slot of a limited owner.
    pub wakes_scheduler: bool,
    /// What the queue shall hear, if the task is queued now.
    pub ready: Option<ReadyTask>,
}

/// What became of many transitions.
#[derive(Clone, Debug, Default)]
pub struct AppliedAll {
    /// What became of each, in their order.
    pub applied: Vec<Applied>,
    /// Tasks that were released because all that they waited for is done.
    pub released: Vec<ReadyTask>,
    /// A released task waits for a slot of its owner's.
    pub slots_wanted: bool,
}

/// A transition of one task.
#[derive(Clone, Debug)]
pub struct Move {
    /// The task.
    pub task: TaskId,
    /// Where it shall go.
    pub transition: Transition,
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
        let moves = [Move { task, transition: transition.clone() }];
        Ok(only(self.transition(None, &moves).await?))
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
        let moves = [Move { task, transition: transition.clone() }];
        Ok(only(self.transition(Some(owner), &moves).await?))
    }

    /// Applies the transitions of many tasks, each of which stands there once.
    ///
    /// # Errors
    /// PostgreSQL is away, or cannot hold one of them: none was applied.
    pub async fn tasks_transition(&self, moves: &[Move]) -> Result<AppliedAll, StoreError> {
        self.transition(None, moves).await
    }

    #[allow(clippy::too_many_lines, reason = "one statement, and its parameters one to a line")]
    async fn transition(&self, owner: Option<OwnerId>, moves: &[Move]) -> Result<AppliedAll, StoreError> {
        let columns = Columns::of(moves);
        let begun = Instant::now();
        // The attempt of a held task is always there, so its INSERT always turns into the UPDATE. A plain UPDATE would not
        // see the attempt of a claim that this statement had to wait for.
        let rows = sqlx::query_as!(
            Row,
            r#"
            WITH held AS (
                SELECT t.id, t.status AS left_status, t.worker_id AS held_by, t.slot AS left_slot, ended.to_status,
                       is_done, keeps_result, asked.completion, asked.spends_retry, asked.delay_secs, asked.exclude, asked.code, asked.message, asked.result_commit,
                       asked.result_branch, asked.completion_error, asked.outcome, asked.exit_code, asked.name,
                       -- A task that is done without ever having been seen running was started all the same.
                       (t.status = 'starting' AND is_done)::integer AS unseen_start,
                       -- Edges that were added after this statement began are not seen, but counted in the row.
                       t.open_children, edges.seen
                FROM (
                    SELECT * FROM unnest(
                        $2::uuid[], $3::text[], $4::bigint[], $5::task_status[], $6::boolean[], $7::float8[], $8::uuid[],
                        $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::attempt_outcome[],
                        $15::integer[], $16::text[], $19::jsonb[]
                    ) AS a (id, leaves, epoch, to_status, spends_retry, delay_secs, exclude, code, message, result_commit,
                            result_branch, completion_error, outcome, exit_code, name, completion)
                    ORDER BY id LIMIT $18
                ) AS asked,
                -- Each task by its key, in their order: a join might read the whole table.
                LATERAL (
                    SELECT id, status, worker_id, slot, open_children, completion_only FROM tasks
                    WHERE id = asked.id AND status::text = ANY(string_to_array(asked.leaves, ' '))
                      AND (asked.epoch IS NULL OR epoch = asked.epoch) AND ($1::uuid IS NULL OR owner_id = $1)
                    FOR NO KEY UPDATE
                ) AS t,
                LATERAL (
                    SELECT count(*) FROM (
                        SELECT FROM task_dependencies d
                        WHERE asked.to_status IN ('done', 'merged', 'failed', 'cancelled') AND d.depends_on_task_id = t.id
                          AND NOT d.satisfied
                        LIMIT $17::bigint + 1) AS few
                ) AS edges (seen),
                LATERAL (SELECT t.completion_only AND t.worker_id IS NOT NULL AND asked.to_status = 'failed') AS k (keeps_result),
                LATERAL (SELECT CASE WHEN keeps_result THEN 'done' ELSE asked.to_status END) AS ended (to_status),
                LATERAL (SELECT ended.to_status IN ('done', 'merged')) AS done (is_done)
            ), moved AS (
                UPDATE tasks t SET
                    status = h.to_status,
                    worker_id = CASE WHEN h.to_status IN ('starting', 'running') THEN t.worker_id END,
                    retry_count = t.retry_count + h.spends_retry::integer::smallint,
                    not_before = now() + make_interval(secs => h.delay_secs),
                    excluded_worker_ids = CASE WHEN h.exclude IS NULL OR h.exclude = ANY(t.excluded_worker_ids)
                        THEN t.excluded_worker_ids ELSE t.excluded_worker_ids || h.exclude END,
                    queued_at = CASE WHEN h.to_status = 'queued' THEN now() ELSE t.queued_at END,
                    slot = CASE WHEN h.to_status IN ('queued', 'starting', 'running') THEN t.slot ELSE 'none' END,
                    status_code = CASE WHEN NOT h.keeps_result THEN h.code END,
                    status_message = CASE WHEN NOT h.keeps_result THEN h.message END,
                    -- What an earlier run left stays until there is a new result, and goes with it.
                    result_commit = CASE WHEN h.is_done AND NOT h.keeps_result THEN h.result_commit
                        ELSE t.result_commit END,
                    result_branch = CASE WHEN h.is_done AND NOT h.keeps_result THEN h.result_branch
                        ELSE t.result_branch END,
                    completion_error = CASE WHEN h.keeps_result THEN h.code || ': ' || h.message
                        ELSE h.completion_error END,
                    completion = CASE
                        WHEN h.keeps_result THEN coalesce(t.completion, '{}') || jsonb_build_object(
                            'status', 'failed', 'canRetry', true, 'conflicts', '{}'::text[],
                            'error', jsonb_build_object('code', h.code, 'message', h.message))
                        WHEN h.is_done THEN h.completion
                        ELSE t.completion END,
                    completion_only = t.completion_only AND NOT h.is_done,
                    finished_at = CASE WHEN h.to_status IN ('done', 'merged', 'failed', 'cancelled') THEN now() END,
                    children_waiting = CASE
                        WHEN h.to_status IN ('failed', 'cancelled') THEN h.seen > 0 OR h.open_children > 0
                        WHEN h.is_done THEN h.seen < h.open_children OR h.seen > $17::bigint
                        ELSE t.children_waiting END,
                    open_children = CASE
                        WHEN h.is_done AND h.seen >= h.open_children AND h.seen <= $17::bigint THEN 0
                        ELSE t.open_children END,
                    last_sequence = t.last_sequence + 1 + h.unseen_start,
                    version = t.version + 1,
                    updated_at = now()
                FROM held h WHERE t.id = h.id
                RETURNING t.id, t.owner_id, t.epoch, t.last_sequence, t.priority, t.labels, t.queued_at,
                          t.excluded_worker_ids, t.not_before, t.children_waiting, h.left_status, h.held_by, h.left_slot,
                          h.to_status, h.is_done, h.code, h.message, h.result_commit, h.result_branch, h.completion_error,
                          h.outcome, h.exit_code, h.exclude, h.name, h.unseen_start,
                          CASE WHEN h.is_done THEN t.completion END AS completion
            ), attempt AS (
                INSERT INTO attempts AS a (task_id, epoch, worker_id, started_at, ended_at, outcome, exit_code,
                                           error_code, error_message, blames_worker)
                SELECT id, epoch, held_by, CASE WHEN to_status = 'running' OR unseen_start = 1 THEN now() END,
                       CASE WHEN outcome IS NOT NULL THEN now() END, outcome, exit_code, code, message,
                       exclude IS NOT NULL
                FROM moved WHERE held_by IS NOT NULL
                ON CONFLICT (task_id, epoch) DO UPDATE SET
                    started_at = coalesce(a.started_at, EXCLUDED.started_at), ended_at = EXCLUDED.ended_at,
                    outcome = EXCLUDED.outcome, exit_code = EXCLUDED.exit_code, error_code = EXCLUDED.error_code,
                    error_message = EXCLUDED.error_message, blames_worker = EXCLUDED.blames_worker
                    WHERE a.ended_at IS NULL
            ), edge AS (
                UPDATE task_dependencies d SET satisfied = true
                WHERE NOT d.satisfied AND d.depends_on_task_id = ANY(ARRAY(
                    SELECT id FROM moved WHERE is_done AND NOT children_waiting))
                RETURNING d.task_id
            ), child AS (
                SELECT c.id, e.count, o.weight, free AND NOT o.limited AS is_ready, free AND o.limited AS wants_slot
                FROM (SELECT task_id, count(*)::integer AS count FROM edge GROUP BY task_id ORDER BY task_id LIMIT $18) AS e,
                LATERAL (SELECT * FROM tasks WHERE id = e.task_id FOR NO KEY UPDATE) AS c,
                LATERAL (SELECT weight, limited FROM owners WHERE id = c.owner_id OFFSET 0) AS o,
                LATERAL (SELECT c.status = 'pending' AND coalesce(c.undone_parents = e.count, false)
                                AND coalesce(c.not_before <= now(), true)) AS f (free)
            ), counted AS (
                UPDATE tasks c SET
                    undone_parents = c.undone_parents - child.count,
                    status = CASE WHEN is_ready THEN 'queued' ELSE c.status END,
                    slot = CASE WHEN wants_slot THEN 'waiting' ELSE c.slot END,
                    queued_at = CASE WHEN is_ready THEN now() ELSE c.queued_at END,
                    not_before = CASE WHEN is_ready THEN NULL ELSE c.not_before END,
                    last_sequence = c.last_sequence + is_ready::integer,
                    version = c.version + is_ready::integer,
                    updated_at = now()
                FROM child WHERE c.id = child.id
                RETURNING c.id, c.owner_id, c.status, c.slot, c.epoch, c.last_sequence, c.priority, c.labels, c.queued_at,
                          c.excluded_worker_ids, child.weight, child.is_ready, child.wants_slot
            ), event AS (
                INSERT INTO task_events (task_id, sequence, epoch, kind, data)
                SELECT id, last_sequence - 1, epoch, 'status'::event_kind, jsonb_build_object(
                    'transition', 'started', 'from', 'starting', 'to', 'running', 'workerId', held_by)
                FROM moved WHERE unseen_start = 1
                UNION ALL
                SELECT id, last_sequence, epoch, 'status', jsonb_strip_nulls(jsonb_build_object(
                    'transition', name, 'from', CASE WHEN unseen_start = 1 THEN 'running' ELSE left_status END,
                    'to', to_status, 'code', code, 'message', message, 'workerId', held_by, 'outcome', outcome,
                    'exitCode', exit_code, 'notBefore', not_before, 'resultCommit', result_commit,
                    'resultBranch', result_branch, 'completionError', completion_error,
                    'completion', completion))
                FROM moved
                UNION ALL
                SELECT id, last_sequence, epoch, 'status',
                       jsonb_build_object('transition', 'released', 'from', 'pending', 'to', 'queued')
                FROM counted WHERE is_ready
            )
            SELECT m.id AS "id!: TaskId", false AS "is_child!", m.to_status AS "status!: TaskStatus",
                   m.left_status AS "from: TaskStatus", m.epoch AS "epoch!: Epoch", m.held_by AS "held_by: WorkerId",
                   m.last_sequence AS "sequence!", m.children_waiting OR (m.left_slot = 'held' AND
                       m.to_status NOT IN ('queued', 'starting', 'running')) AS "wakes_scheduler!",
                   m.owner_id AS "owner_id!: OwnerId", m.priority AS "priority!", m.labels AS "labels!",
                   m.queued_at, m.excluded_worker_ids AS "excluded_worker_ids!: Vec<WorkerId>",
                   CASE WHEN m.to_status = 'queued' THEN (SELECT weight FROM owners o WHERE o.id = m.owner_id) ELSE 1 END
                       AS "weight!"
            FROM moved m
            UNION ALL
            SELECT id, true, status, NULL, epoch, NULL, last_sequence, wants_slot, owner_id, priority, labels,
                   queued_at, excluded_worker_ids, weight
            FROM counted WHERE is_ready OR wants_slot
            "#,
            owner.map(OwnerId::uuid),
            &columns.ids,
            &columns.leaves,
            &columns.epochs as _,
            &columns.to as &[TaskStatus],
            &columns.spends_retry,
            &columns.delays_secs as _,
            &columns.exclude as _,
            &columns.codes as _,
            &columns.messages as _,
            &columns.commits as _,
            &columns.branches as _,
            &columns.completion_errors as _,
            &columns.outcomes as &[Option<AttemptOutcome>],
            &columns.exit_codes as _,
            &columns.names as _,
            INLINE_CHILDREN,
            NO_LIMIT,
            &columns.completions as _,
        )
        .fetch_all(&self.pool)
        .await?;
        record::transitions(begun);
        Ok(collect(moves, rows))
    }
}

/// The parameters of the statement, one entry for each move.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<Uuid>,
    leaves: Vec<String>,
    epochs: Vec<Option<i64>>,
    to: Vec<TaskStatus>,
    spends_retry: Vec<bool>,
    delays_secs: Vec<Option<f64>>,
    exclude: Vec<Option<Uuid>>,
    codes: Vec<Option<&'static str>>,
    messages: Vec<Option<&'a str>>,
    commits: Vec<Option<&'a str>>,
    branches: Vec<Option<&'a str>>,
    completion_errors: Vec<Option<&'a str>>,
    outcomes: Vec<Option<AttemptOutcome>>,
    exit_codes: Vec<Option<i32>>,
    names: Vec<&'static str>,
    completions: Vec<Option<Value>>,
}

impl<'a> Columns<'a> {
    fn of(moves: &'a [Move]) -> Self {
        let mut columns = Self::default();
        for Move { task, transition } in moves {
            let leaves: Vec<_> = transition.from.iter().map(|status| status.as_str()).collect();
            columns.ids.push(task.uuid());
            columns.leaves.push(leaves.join(" "));
            columns.epochs.push(transition.epoch.map(Epoch::number));
            columns.to.push(transition.to);
            columns.spends_retry.push(transition.spends_retry);
            columns.delays_secs.push(transition.delay.map(|delay| delay.as_secs_f64()));
            columns.exclude.push(transition.exclude.map(WorkerId::uuid));
            columns.codes.push(transition.reason.as_ref().map(|reason| reason.code));
            columns.messages.push(transition.reason.as_ref().map(|reason| reason.message.as_str()));
            columns.commits.push(transition.result.commit.as_deref());
            columns.branches.push(transition.result.branch.as_deref());
            columns.completion_errors.push(transition.result.completion_error.as_deref());
            columns.outcomes.push(transition.attempt_end.as_ref().map(|end| end.outcome));
            columns.exit_codes.push(transition.attempt_end.as_ref().and_then(|end| end.exit_code));
            columns.names.push(transition.name);
            let is_done = TaskStatus::SATISFIED.contains(&transition.to);
            let completion = is_done.then_some(&transition.result.completion);
            columns.completions.push(completion.and_then(|completion| serde_json::to_value(completion).ok()));
        }
        columns
    }
}

/// A task that the statement touched: one that was asked for, or a child that was freed by it.
struct Row {
    id: TaskId,
    is_child: bool,
    status: TaskStatus,
    from: Option<TaskStatus>,
    epoch: Epoch,
    held_by: Option<WorkerId>,
    sequence: i64,
    wakes_scheduler: bool,
    owner_id: OwnerId,
    priority: i16,
    labels: Vec<String>,
    queued_at: Option<DateTime<Utc>>,
    excluded_worker_ids: Vec<WorkerId>,
    weight: i32,
}

impl Row {
    fn ready(&mut self) -> Option<ReadyTask> {
        let queued_at = self.queued_at.filter(|_| self.status == TaskStatus::Queued)?;
        Some(ReadyTask {
            id: self.id,
            owner_id: self.owner_id,
            owner_weight: self.weight,
            priority: self.priority,
            queued_at,
            labels: std::mem::take(&mut self.labels),
            excluded_worker_ids: std::mem::take(&mut self.excluded_worker_ids),
        })
    }

    fn moved(mut self) -> Option<Moved> {
        Some(Moved {
            from: self.from?,
            epoch: self.epoch,
            owner_id: self.owner_id,
            labels: self.labels.clone(),
            held_by: self.held_by,
            sequence: self.sequence,
            wakes_scheduler: self.wakes_scheduler,
            ready: self.ready(),
        })
    }
}

fn collect(moves: &[Move], rows: Vec<Row>) -> AppliedAll {
    let mut all = AppliedAll::default();
    let mut moved = HashMap::with_capacity(rows.len());
    for mut row in rows {
        if row.is_child {
            all.slots_wanted |= row.wakes_scheduler;
            all.released.extend(row.ready());
        } else {
            moved.insert(row.id, row);
        }
    }
    for Move { task, transition } in moves {
        let applied = moved.remove(task).and_then(Row::moved);
        record::transition(transition, applied.as_ref().map(|moved| moved.from));
        all.applied.push(applied.map_or(Applied::Refused, Applied::Moved));
    }
    all
}

fn only(mut all: AppliedAll) -> Applied {
    all.applied.pop().unwrap_or(Applied::Refused)
}
