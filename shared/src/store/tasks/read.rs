//! Tasks as their owner sees them.

use std::collections::BTreeMap;

use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::domain::{
    Agent, Completion, CompletionAction, ContractId, DependencyState, Epoch, MergeStrategy, OwnerId, Spend,
    Task, TaskId, TaskSecret, TaskStatus, TaskSummary, TokenUsage, WorkerId,
};
use crate::store::{Store, StoreError};

/// Which tasks to list. Empty fields do not narrow the list.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Only tasks that stand here.
    pub status: Option<TaskStatus>,
    /// Only parts of this task.
    pub parent_task_id: Option<TaskId>,
    /// Only parts of this contract.
    pub contract_id: Option<ContractId>,
    /// Only tasks whose name holds this text, in any letter case.
    pub text: Option<String>,
    /// Only tasks whose id ends with these hexadecimal digits.
    pub id_suffix: Option<String>,
    /// Only tasks older than this one.
    pub before: Option<TaskId>,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct TaskPage {
    /// Newest first.
    pub tasks: Vec<TaskSummary>,
    /// The last task of the page if more follow.
    pub next: Option<TaskId>,
}

impl Store {
    /// Returns one of the owner's tasks.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn task_get(&self, owner: OwnerId, task: TaskId) -> Result<Option<Task>, StoreError> {
        Ok(task_get_in_txn(&self.pool, owner, task).await?)
    }

    /// Tells whether the owner has such a task.
    pub(in crate::store) async fn task_exists(
        &self,
        owner: OwnerId,
        task: TaskId,
    ) -> Result<bool, StoreError> {
        let found = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM tasks WHERE owner_id = $1 AND id = $2) AS "found!""#,
            owner.uuid(),
            task.uuid(),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(found)
    }

    /// Returns where a task stands, and its newest event's number.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn task_status(
        &self,
        owner: OwnerId,
        task: TaskId,
    ) -> Result<Option<(TaskStatus, i64)>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT status AS "status: TaskStatus", last_sequence FROM tasks WHERE owner_id = $1 AND id = $2"#,
            owner.uuid(),
            task.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| (row.status, row.last_sequence)))
    }

    /// Lists the owner's tasks, newest first.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn tasks_list(
        &self,
        owner: OwnerId,
        filter: &TaskFilter,
        limit: u32,
    ) -> Result<TaskPage, StoreError> {
        let mut tasks = sqlx::query_as!(
            TaskSummary,
            r#"
            SELECT id AS "id: TaskId", parent_task_id AS "parent_task_id: TaskId", name, status AS "status: TaskStatus",
                   status_code, priority, epoch AS "epoch: Epoch", worker_id AS "worker_id: WorkerId", created_at,
                   finished_at
            FROM tasks
            WHERE owner_id = $1
              AND ($2::task_status IS NULL OR status = $2)
              AND ($3::uuid IS NULL OR parent_task_id = $3)
              AND ($4::text IS NULL OR strpos(lower(name), lower($4)) > 0)
              AND ($5::text IS NULL OR replace(id::text, '-', '') LIKE '%' || $5)
              AND ($6::uuid IS NULL OR id < $6)
              AND ($8::uuid IS NULL OR contract_id = $8)
            ORDER BY id DESC LIMIT $7
            "#,
            owner.uuid(),
            filter.status as Option<TaskStatus>,
            filter.parent_task_id.map(TaskId::uuid),
            filter.text,
            filter.id_suffix,
            filter.before.map(TaskId::uuid),
            i64::from(limit) + 1,
            filter.contract_id.map(ContractId::uuid),
        )
        .fetch_all(&self.pool)
        .await?;
        let more = tasks.len() > limit as usize;
        tasks.truncate(limit as usize);
        let next = if more { tasks.last().map(|task| task.id) } else { None };
        Ok(TaskPage { tasks, next })
    }

    /// Lists what a task depends on, 1,000 at most.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn task_dependencies(
        &self,
        owner: OwnerId,
        task: TaskId,
    ) -> Result<Vec<DependencyState>, StoreError> {
        let parents = sqlx::query_as!(
            DependencyState,
            r#"
            SELECT p.id AS "id: TaskId", p.name, p.status AS "status: TaskStatus"
            FROM task_dependencies d
            JOIN tasks t ON t.id = d.task_id
            JOIN tasks p ON p.id = d.depends_on_task_id
            WHERE t.owner_id = $1 AND t.id = $2
            ORDER BY p.id LIMIT 1000
            "#,
            owner.uuid(),
            task.uuid(),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(parents)
    }

    /// Lists the owner's tasks that a worker holds.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn tasks_of_worker(&self, owner: OwnerId, worker: WorkerId) -> Result<Vec<TaskId>, StoreError> {
        let ids = sqlx::query_scalar!(
            r#"SELECT id AS "id: TaskId" FROM tasks WHERE owner_id = $1 AND worker_id = $2 ORDER BY id"#,
            owner.uuid(),
            worker.uuid(),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids)
    }
}

pub(super) async fn task_get_in_txn(
    executor: impl PgExecutor<'_>,
    owner: OwnerId,
    task: TaskId,
) -> Result<Option<Task>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        SELECT id AS "id: TaskId", parent_task_id AS "parent_task_id: TaskId",
               contract_id AS "contract_id: ContractId", labels, name, plan, description, repository_url,
               base_branch, target_branch, agent AS "agent: Json<Agent>", env AS "env: Json<BTreeMap<String, String>>",
               priority, max_retries, retry_count, timeout_secs, checkpoint_interval_secs, run_at,
               continue_from_task_id AS "continue_from_task_id: TaskId", checkpoint_sha, copy_files, keep_ignored,
               completion_action AS "completion_action: CompletionAction", status AS "status: TaskStatus",
               epoch AS "epoch: Epoch", worker_id AS "worker_id: WorkerId", not_before, status_code, status_message,
               base_commit, result_branch, result_commit, completion_error, last_sequence, version, created_at,
               updated_at, finished_at, merge_strategy AS "merge_strategy: MergeStrategy",
               completion AS "completion: Json<Completion>", max_cost_usd, max_tokens,
               secrets AS "secrets: Json<Vec<TaskSecret>>", spent.*
        FROM tasks, LATERAL (
            SELECT coalesce(sum(input_tokens), 0)::bigint AS "input_tokens!",
                   coalesce(sum(cached_input_tokens), 0)::bigint AS "cached_input_tokens!",
                   coalesce(sum(output_tokens), 0)::bigint AS "output_tokens!", sum(cost_usd) AS cost_usd
            FROM attempts WHERE task_id = tasks.id
        ) AS spent WHERE owner_id = $1 AND id = $2
        "#,
        owner.uuid(),
        task.uuid(),
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| Task {
        id: row.id,
        parent_task_id: row.parent_task_id,
        contract_id: row.contract_id,
        labels: row.labels,
        name: row.name,
        plan: row.plan,
        description: row.description,
        repository_url: row.repository_url,
        base_branch: row.base_branch,
        target_branch: row.target_branch,
        agent: row.agent.0,
        env: row.env.0,
        secrets: row.secrets.0,
        priority: row.priority,
        max_retries: row.max_retries,
        retry_count: row.retry_count,
        timeout_secs: row.timeout_secs,
        checkpoint_interval_secs: row.checkpoint_interval_secs,
        max_cost_usd: row.max_cost_usd,
        max_tokens: row.max_tokens,
        spent: Spend {
            tokens: TokenUsage {
                input_tokens: row.input_tokens,
                cached_input_tokens: row.cached_input_tokens,
                output_tokens: row.output_tokens,
            },
            cost_usd: row.cost_usd,
        },
        run_at: row.run_at,
        continue_from_task_id: row.continue_from_task_id,
        checkpoint_sha: row.checkpoint_sha,
        copy_files: row.copy_files,
        keep_ignored: row.keep_ignored,
        completion_action: row.completion_action,
        merge_strategy: row.merge_strategy,
        status: row.status,
        epoch: row.epoch,
        worker_id: row.worker_id,
        not_before: row.not_before,
        status_code: row.status_code,
        status_message: row.status_message,
        base_commit: row.base_commit,
        result_branch: row.result_branch,
        result_commit: row.result_commit,
        completion_error: row.completion_error,
        completion: row.completion.map(|completion| completion.0),
        last_sequence: row.last_sequence,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
        finished_at: row.finished_at,
    }))
}
