//! The one statement that writes new tasks: rows, first events, edges, and the key of the request.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::parents::{parents_lock_in_txn, part_of_in_txn};
use super::secrets::secret_missing_in_txn;
use super::sources::sources_check_in_txn;
use super::{AcceptedTask, ReadyTask, RequestKey, SubmitError};
use crate::domain::{CompletionAction, ContractId, MergeStrategy, NewTask, OwnerId, TaskId, TaskStatus};

/// Inserts tasks with what they wait for, and returns them in their order; nothing if the key was used before.
pub(in crate::store) async fn tasks_insert_in_txn(
    txn: &mut PgConnection,
    owner: OwnerId,
    tasks: &[NewTask],
    key: Option<RequestKey<'_>>,
) -> Result<Option<Vec<AcceptedTask>>, SubmitError> {
    part_of_in_txn(txn, owner, tasks).await?;
    sources_check_in_txn(txn, owner, tasks).await?;
    let secrets = tasks.iter().flat_map(|task| &task.submission.secrets);
    if let Some(name) = secret_missing_in_txn(txn, owner, secrets).await? {
        return Err(SubmitError::SecretNotFound(name));
    }
    let satisfied = parents_lock_in_txn(txn, owner, tasks).await?;
    tasks_insert(txn, owner, tasks, &satisfied, key).await
}

/// Inserts tasks, which is one statement. `satisfied` tells of every task that one of them waits for.
pub(super) async fn tasks_insert(
    executor: impl PgExecutor<'_>,
    owner: OwnerId,
    tasks: &[NewTask],
    satisfied: &BTreeMap<TaskId, bool>,
    key: Option<RequestKey<'_>>,
) -> Result<Option<Vec<AcceptedTask>>, SubmitError> {
    let rows = Rows::of(tasks, satisfied).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    let created = rows_insert(executor, owner, &rows, key).await?;
    Ok((created.len() == tasks.len()).then_some(created))
}

/// The columns of the new rows, one entry for each task, and the edges.
#[derive(Default)]
struct Rows<'a> {
    ids: Vec<Uuid>,
    undone_parents: Vec<i32>,
    run_at: Vec<Option<DateTime<Utc>>>,
    parent_task_ids: Vec<Option<Uuid>>,
    contract_ids: Vec<Option<Uuid>>,
    names: Vec<&'a str>,
    plans: Vec<&'a str>,
    descriptions: Vec<Option<&'a str>>,
    repository_urls: Vec<&'a str>,
    base_branches: Vec<Option<&'a str>>,
    target_branches: Vec<Option<&'a str>>,
    agents: Vec<Value>,
    envs: Vec<Value>,
    secrets: Vec<Value>,
    priorities: Vec<Option<i16>>,
    labels: Vec<String>,
    max_retries: Vec<Option<i16>>,
    timeouts_secs: Vec<Option<i32>>,
    checkpoint_intervals_secs: Vec<Option<i32>>,
    continue_from_task_ids: Vec<Option<Uuid>>,
    checkpoint_shas: Vec<Option<&'a str>>,
    /// One path to a line: none holds a line's end.
    copy_files: Vec<String>,
    /// One glob to a line.
    keep_ignored: Vec<String>,
    max_costs_usd: Vec<Option<f64>>,
    max_tokens: Vec<Option<i64>>,
    completion_actions: Vec<CompletionAction>,
    merge_strategies: Vec<MergeStrategy>,
    open_children: Vec<i32>,
    edge_children: Vec<Uuid>,
    edge_parents: Vec<Uuid>,
    edge_satisfied: Vec<bool>,
}

impl<'a> Rows<'a> {
    fn of(tasks: &'a [NewTask], satisfied: &BTreeMap<TaskId, bool>) -> Result<Self, serde_json::Error> {
        let ids = tasks.iter().map(|_| TaskId::new().uuid()).collect();
        let mut rows = Self { ids, open_children: vec![0; tasks.len()], ..Self::default() };
        for (place, task) in tasks.iter().enumerate() {
            let undone = rows.push_edges(place, task, satisfied);
            rows.push(task, undone)?;
        }
        Ok(rows)
    }

    /// Adds a task's edges, and returns how many of them are not satisfied.
    fn push_edges(&mut self, place: usize, task: &NewTask, satisfied: &BTreeMap<TaskId, bool>) -> i32 {
        let siblings = task.siblings.iter().map(|&sibling| (self.ids[sibling], false));
        let parents = task.parents.iter().map(|id| (id.uuid(), satisfied.get(id).copied().unwrap_or(false)));
        let edges: Vec<_> = parents.chain(siblings).collect();
        let mut undone = 0;
        for (parent, is_satisfied) in edges {
            self.edge_children.push(self.ids[place]);
            self.edge_parents.push(parent);
            self.edge_satisfied.push(is_satisfied);
            undone += i32::from(!is_satisfied);
        }
        for &sibling in &task.siblings {
            self.open_children[sibling] += 1;
        }
        undone
    }

    fn push(&mut self, task: &'a NewTask, undone_parents: i32) -> Result<(), serde_json::Error> {
        let asked = &task.submission;
        self.undone_parents.push(undone_parents);
        self.run_at.push(asked.run_at);
        self.parent_task_ids.push(asked.parent_task_id.map(TaskId::uuid));
        self.contract_ids.push(asked.contract_id.map(ContractId::uuid));
        self.names.push(&asked.name);
        self.plans.push(&asked.plan);
        self.descriptions.push(asked.description.as_deref());
        self.repository_urls.push(&asked.repository_url);
        self.base_branches.push(asked.base_branch.as_deref());
        self.target_branches.push(asked.target_branch.as_deref());
        self.agents.push(serde_json::to_value(&asked.agent)?);
        self.envs.push(serde_json::to_value(&asked.env)?);
        self.secrets.push(serde_json::to_value(&asked.secrets)?);
        self.priorities.push(asked.priority);
        self.labels.push(asked.labels.join(" "));
        self.max_retries.push(asked.max_retries);
        self.timeouts_secs.push(asked.timeout_secs);
        self.checkpoint_intervals_secs.push(asked.checkpoint_interval_secs);
        self.continue_from_task_ids.push(asked.continue_from_task_id.map(TaskId::uuid));
        self.checkpoint_shas.push(asked.checkpoint_sha.as_deref());
        self.copy_files.push(asked.copy_files.join("\n"));
        self.keep_ignored.push(asked.keep_ignored.join("\n"));
        self.max_costs_usd.push(asked.max_cost_usd);
        self.max_tokens.push(asked.max_tokens);
        self.completion_actions.push(asked.completion_action);
        self.merge_strategies.push(asked.merge_strategy);
        Ok(())
    }
}

#[allow(clippy::too_many_lines, reason = "one statement, and its parameters one to a line")]
async fn rows_insert(
    executor: impl PgExecutor<'_>,
    owner: OwnerId,
    rows: &Rows<'_>,
    key: Option<RequestKey<'_>>,
) -> Result<Vec<AcceptedTask>, sqlx::Error> {
    let created = sqlx::query!(
        r#"
        WITH owner AS (
            SELECT id, weight, limited FROM owners WHERE id = $1
        ), key AS (
            INSERT INTO idempotency_keys (owner_id, key, request_sha256, task_id, task_ids)
            SELECT $1, $2, $3, CASE WHEN NOT $4 THEN ($5::uuid[])[1] END, CASE WHEN $4 THEN $5::uuid[] END
            WHERE $2::text IS NOT NULL
            ON CONFLICT DO NOTHING RETURNING key
        ), asked AS (
            SELECT a.*, a.undone_parents = 0 AND coalesce(a.run_at <= now(), true) AS free, owner.limited
            FROM owner, unnest(
                $5::uuid[], $6::integer[], $7::timestamptz[], $8::uuid[], $9::uuid[], $10::text[], $11::text[],
                $12::text[], $13::text[], $14::text[], $15::text[], $16::jsonb[], $17::jsonb[], $18::smallint[],
                $19::text[], $20::smallint[], $21::integer[], $22::integer[], $23::completion_action[], $27::integer[],
                $28::uuid[], $29::text[], $30::text[], $31::text[], $32::merge_strategy[],
                $33::float8[], $34::bigint[], $35::jsonb[]
            ) AS a (id, undone_parents, run_at, parent_task_id, contract_id, name, plan, description, repository_url,
                    base_branch, target_branch, agent, env, priority, labels, max_retries, timeout_secs,
                    checkpoint_interval_secs, completion_action, open_children, continue_from_task_id, checkpoint_sha,
                    copy_files, keep_ignored, merge_strategy, max_cost_usd, max_tokens, secrets)
            WHERE $2::text IS NULL OR EXISTS (SELECT FROM key)
        ), created AS (
            INSERT INTO tasks (id, owner_id, status, slot, queued_at, undone_parents, run_at, not_before,
                               parent_task_id, contract_id, name, plan, description, repository_url, base_branch,
                               target_branch, agent, env, priority, labels, max_retries, timeout_secs,
                               checkpoint_interval_secs, completion_action, open_children, continue_from_task_id,
                               checkpoint_sha, copy_files, keep_ignored, merge_strategy, max_cost_usd, max_tokens,
                               secrets, last_sequence)
            SELECT id, $1, CASE WHEN free AND NOT limited THEN 'queued' ELSE 'pending' END::task_status,
                   CASE WHEN free AND limited THEN 'waiting' ELSE 'none' END::slot_state,
                   CASE WHEN free AND NOT limited THEN now() END, undone_parents, run_at, CASE WHEN NOT free THEN run_at END,
                   parent_task_id, contract_id, name, plan, description, repository_url, base_branch,
                   target_branch, agent, env, coalesce(priority, 50::smallint), string_to_array(labels, ' '),
                   coalesce(max_retries, 3::smallint), timeout_secs, coalesce(checkpoint_interval_secs, 30),
                   completion_action, open_children, continue_from_task_id, checkpoint_sha,
                   string_to_array(copy_files, E'\n'), string_to_array(keep_ignored, E'\n'), merge_strategy,
                   max_cost_usd, max_tokens, secrets, 1
            FROM asked
            RETURNING id, status, slot, priority, queued_at, labels
        ), edge AS (
            INSERT INTO task_dependencies (task_id, depends_on_task_id, satisfied)
            SELECT e.* FROM unnest($24::uuid[], $25::uuid[], $26::boolean[]) AS e
            WHERE $2::text IS NULL OR EXISTS (SELECT FROM key)
        ), event AS (
            INSERT INTO task_events (task_id, sequence, epoch, kind, data)
            SELECT id, 1, 0, 'status', jsonb_build_object('transition', 'submitted', 'to', status) FROM created
        )
        SELECT created.id AS "id: TaskId", status AS "status: TaskStatus", slot = 'waiting' AS "waits_for_slot!",
               priority, queued_at, labels, owner.weight
        FROM created, owner
        ORDER BY created.id
        "#,
        owner.uuid(),
        key.map(|key| key.key),
        key.as_ref().map(|key| key.sha256.as_slice()),
        key.is_some_and(|key| key.is_bulk),
        &rows.ids,
        &rows.undone_parents,
        &rows.run_at as _,
        &rows.parent_task_ids as _,
        &rows.contract_ids as _,
        &rows.names as _,
        &rows.plans as _,
        &rows.descriptions as _,
        &rows.repository_urls as _,
        &rows.base_branches as _,
        &rows.target_branches as _,
        &rows.agents,
        &rows.envs,
        &rows.priorities as _,
        &rows.labels,
        &rows.max_retries as _,
        &rows.timeouts_secs as _,
        &rows.checkpoint_intervals_secs as _,
        &rows.completion_actions as &[CompletionAction],
        &rows.edge_children,
        &rows.edge_parents,
        &rows.edge_satisfied,
        &rows.open_children,
        &rows.continue_from_task_ids as _,
        &rows.checkpoint_shas as _,
        &rows.copy_files,
        &rows.keep_ignored,
        &rows.merge_strategies as &[MergeStrategy],
        &rows.max_costs_usd as _,
        &rows.max_tokens as _,
        &rows.secrets,
    )
    .map(|row| AcceptedTask {
        id: row.id,
        status: row.status,
        waits_for_slot: row.waits_for_slot,
        ready: row.queued_at.map(|queued_at| ReadyTask {
            id: row.id,
            owner_id: owner,
            owner_weight: row.weight,
            priority: row.priority,
            queued_at,
            labels: row.labels,
            excluded_worker_ids: Vec::new(),
        }),
    })
    .fetch_all(executor)
    .await?;
    Ok(created)
}
