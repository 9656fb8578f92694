//! The claim: a queued task becomes a worker's, under a new epoch.

use std::collections::BTreeMap;

use sqlx::types::Json;

use crate::domain::{
    Agent, Caps, ClaimedTask, CompletionAction, Epoch, MergeStrategy, OwnerId, StartPoint, TaskId,
    TaskSecret, WorkerId,
};
use crate::store::{Store, StoreError};
use crate::telemetry::record;

impl Store {
    /// Claims those of the given tasks that are still queued and do not exclude the worker. Each gets the next epoch and
    /// an open attempt. A worker whose lease is over, that drains or that is in quarantine gets nothing.
    ///
    /// Nothing here waits for a lock: a claim that did would hold back all that its worker does. A task whose row is locked
    /// for the moment is left out, and `requeue_lost` offers it again. The worker's row is not locked either, so its lease
    /// can be renewed meanwhile; a claim that overtakes the end of its worker is found by `rescue`.
    ///
    /// # Errors
    /// PostgreSQL is away. If the claim was carried out all the same, the worker finds its tasks by
    /// [`Store::attempts_of_worker`] and lets them go.
    pub async fn tasks_claim(
        &self,
        worker: WorkerId,
        tasks: &[TaskId],
    ) -> Result<Vec<ClaimedTask>, StoreError> {
        let ids: Vec<_> = tasks.iter().map(|id| id.uuid()).collect();
        let rows = sqlx::query!(
            r#"
            WITH worker AS MATERIALIZED (
                SELECT id, labels FROM workers
                WHERE id = $1 AND ended_at IS NULL AND NOT draining AND lease_expires_at > now()
                  AND coalesce(quarantined_until <= now(), true)
            ), candidate AS (
                -- Each task by its key: a join might read the whole table, and the status as it is the index of queued tasks,
                -- which is as long as the backlog.
                -- That the ids come out of a SELECT hides their number from the planner, which then keeps one plan for all.
                SELECT held.id FROM worker, unnest((SELECT $2::uuid[])) AS asked (id), LATERAL (
                    SELECT t.id FROM tasks t
                    WHERE t.id = asked.id AND t.status::text = 'queued' AND worker.id <> ALL(t.excluded_worker_ids)
                      AND t.labels <@ worker.labels
                    FOR NO KEY UPDATE SKIP LOCKED
                ) AS held
            ), claimed AS (
                UPDATE tasks t SET
                    status = 'starting', epoch = t.epoch + 1, worker_id = $1, output_batches = 0, status_code = NULL, status_message = NULL,
                    last_sequence = t.last_sequence + 1, version = t.version + 1, updated_at = now()
                WHERE t.id = ANY(ARRAY(SELECT id FROM candidate))
                RETURNING t.*
            ), attempt AS (
                INSERT INTO attempts (task_id, epoch, worker_id) SELECT id, epoch, $1 FROM claimed
            ), event AS (
                INSERT INTO task_events (task_id, sequence, epoch, kind, data)
                SELECT id, last_sequence, epoch, 'status', jsonb_build_object(
                    'transition', 'claimed', 'from', 'queued', 'to', 'starting', 'workerId', $1::uuid)
                FROM claimed
            )
            SELECT id AS "id: TaskId", owner_id AS "owner_id: OwnerId", epoch AS "epoch: Epoch", name, plan,
                   repository_url, base_branch, target_branch, agent AS "agent: Json<Agent>",
                   env AS "env: Json<BTreeMap<String, String>>", max_retries, retry_count, timeout_secs,
                   checkpoint_interval_secs, completion_action AS "completion_action: CompletionAction", base_commit,
                   merge_strategy AS "merge_strategy: MergeStrategy", completion_only,
                   continue_from_task_id AS "continue_from_task_id: TaskId", checkpoint_sha, copy_files, keep_ignored,
                   max_cost_usd, max_tokens,
                   secrets AS "secrets: Json<Vec<TaskSecret>>",
                   extract(epoch FROM now() - queued_at)::float8 AS "waited_secs!"
            FROM claimed
            "#,
            worker.uuid(),
            &ids,
        )
        .fetch_all(&self.pool)
        .await?;
        record::queue_waits(rows.iter().map(|row| row.waited_secs));
        let claimed = rows.into_iter().map(|row| ClaimedTask {
            id: row.id,
            owner_id: row.owner_id,
            epoch: row.epoch,
            name: row.name,
            plan: row.plan,
            repository_url: row.repository_url,
            base_branch: row.base_branch,
            target_branch: row.target_branch,
            agent: row.agent.0,
            env: row.env.0,
            secrets: row.secrets.0,
            max_retries: row.max_retries,
            retry_count: row.retry_count,
            timeout_secs: row.timeout_secs,
            checkpoint_interval_secs: row.checkpoint_interval_secs,
            caps: Caps { max_cost_usd: row.max_cost_usd, max_tokens: row.max_tokens },
            start: StartPoint {
                task_id: row.continue_from_task_id,
                sha: row.checkpoint_sha,
                copy_files: row.copy_files,
            },
            keep_ignored: row.keep_ignored,
            completion_action: row.completion_action,
            merge_strategy: row.merge_strategy,
            completion_only: row.completion_only,
            base_commit: row.base_commit,
        });
        Ok(claimed.collect())
    }
}
