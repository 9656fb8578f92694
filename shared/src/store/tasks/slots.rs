//! Limits on what an owner has running: released tasks of a limited owner hold a slot, the others wait for one.
//!
//! A slot is held from the release to the end of the attempt, so that the claim has nothing to count. The owner's row is
//! the lock: two schedulers that both believe to lead never give a slot away twice.

use sqlx::PgConnection;

use super::ReadyTask;
use crate::domain::{ContractId, OwnerId, RunningLimits, SlotCandidate, SlotsHeld, TaskId, WorkerId};
use crate::store::{Store, StoreError};

/// How many waiting tasks of an owner are looked at in one round.
const LOOKS: i64 = 1000;

impl Store {
    /// Lists up to `limit` owners with tasks that wait for a slot, behind `after`. Costs one index look-up for each.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn owners_with_slots_wanted(
        &self,
        after: Option<OwnerId>,
        limit: i64,
    ) -> Result<Vec<OwnerId>, StoreError> {
        let owners = sqlx::query_scalar!(
            r#"
            WITH RECURSIVE found AS (
                (SELECT owner_id FROM tasks
                 WHERE slot = 'waiting' AND owner_id > coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid)
                 ORDER BY owner_id LIMIT 1)
                UNION ALL
                SELECT (SELECT t.owner_id FROM tasks t WHERE t.slot = 'waiting' AND t.owner_id > found.owner_id
                        ORDER BY t.owner_id LIMIT 1)
                FROM found WHERE found.owner_id IS NOT NULL
            )
            SELECT owner_id AS "owner_id!: OwnerId" FROM found WHERE owner_id IS NOT NULL LIMIT $2
            "#,
            after.map(OwnerId::uuid),
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(owners)
    }

    /// Releases as many of an owner's waiting tasks as its limits leave room for, by priority, then age.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn slots_give(&self, owner: OwnerId) -> Result<Vec<ReadyTask>, StoreError> {
        let mut txn = self.pool.begin().await?;
        let limits = limits_lock_in_txn(&mut txn, owner).await?;
        let held = slots_held_in_txn(&mut txn, owner).await?;
        let candidates = candidates_in_txn(&mut txn, owner, &held, &limits).await?;
        let admitted = held.admit(&candidates, &limits);
        let released = slots_take_in_txn(&mut txn, &admitted).await?;
        txn.commit().await?;
        Ok(released)
    }
}

async fn limits_lock_in_txn(txn: &mut PgConnection, owner: OwnerId) -> Result<RunningLimits, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        SELECT max_running, max_running_per_contract, max_running_per_repository
        FROM owners WHERE id = $1 FOR NO KEY UPDATE
        "#,
        owner.uuid(),
    )
    .fetch_one(txn)
    .await?;
    let limit = |value: Option<i32>| value.map(i32::unsigned_abs);
    Ok(RunningLimits {
        owner: limit(row.max_running),
        contract: limit(row.max_running_per_contract),
        repository: limit(row.max_running_per_repository),
    })
}

async fn slots_held_in_txn(txn: &mut PgConnection, owner: OwnerId) -> Result<SlotsHeld, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        SELECT contract_id AS "contract_id: ContractId", repository_url, count(*) AS "count!"
        FROM tasks WHERE owner_id = $1 AND slot = 'held' GROUP BY contract_id, repository_url
        "#,
        owner.uuid(),
    )
    .fetch_all(txn)
    .await?;
    let mut held = SlotsHeld::default();
    for row in rows {
        held.add(row.contract_id, &row.repository_url, u32::try_from(row.count).unwrap_or(u32::MAX));
    }
    Ok(held)
}

/// Lists the next tasks whose contract and repository are not full.
async fn candidates_in_txn(
    txn: &mut PgConnection,
    owner: OwnerId,
    held: &SlotsHeld,
    limits: &RunningLimits,
) -> Result<Vec<SlotCandidate>, sqlx::Error> {
    let full_contracts: Vec<_> = held.full_contracts(limits).into_iter().map(ContractId::uuid).collect();
    sqlx::query_as!(
        SlotCandidate,
        r#"
        SELECT id AS "id: TaskId", contract_id AS "contract_id: ContractId", repository_url FROM tasks
        WHERE owner_id = $1 AND slot = 'waiting' AND status = 'pending'
          AND coalesce(contract_id <> ALL($2), true) AND repository_url <> ALL($3)
        ORDER BY priority DESC, id LIMIT $4
        FOR NO KEY UPDATE SKIP LOCKED
        "#,
        owner.uuid(),
        &full_contracts,
        &held.full_repositories(limits),
        LOOKS,
    )
    .fetch_all(txn)
    .await
}

async fn slots_take_in_txn(txn: &mut PgConnection, tasks: &[TaskId]) -> Result<Vec<ReadyTask>, sqlx::Error> {
    let ids: Vec<_> = tasks.iter().map(|id| id.uuid()).collect();
    sqlx::query_as!(
        ReadyTask,
        r#"
        WITH moved AS (
            UPDATE tasks t SET
                status = 'queued', slot = 'held', queued_at = now(), not_before = NULL, status_code = NULL,
                status_message = NULL, last_sequence = t.last_sequence + 1, version = t.version + 1, updated_at = now()
            WHERE t.id = ANY($1) AND t.status = 'pending' AND t.slot = 'waiting'
            RETURNING t.id, t.owner_id, t.epoch, t.priority, t.labels, t.queued_at, t.excluded_worker_ids, t.last_sequence
        ), event AS (
            INSERT INTO task_events (task_id, sequence, epoch, kind, data)
            SELECT id, last_sequence, epoch, 'status',
                   jsonb_build_object('transition', 'released', 'from', 'pending', 'to', 'queued')
            FROM moved
        )
        SELECT m.id AS "id: TaskId", owner_id AS "owner_id: OwnerId", o.weight AS owner_weight, priority,
               queued_at AS "queued_at!", labels, excluded_worker_ids AS "excluded_worker_ids: Vec<WorkerId>"
        FROM moved m JOIN owners o ON o.id = m.owner_id
        ORDER BY m.id
        "#,
        &ids,
    )
    .fetch_all(txn)
    .await
}
