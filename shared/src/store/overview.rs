//! How much there is to do: for the metrics of the leading scheduler, and for people who look on.
//!
//! Counting costs as much as there are live tasks, so nobody counts for every question: whoever calls
//! [`Store::fleet_load`] keeps the answer for a while, and for longer the longer it took ([`rest_after`]). Finished
//! tasks, of which there is no end, are never counted.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Store, StoreError};
use crate::domain::{
    Epoch, FleetSize, OwnerId, OwnerLoad, QueueLoad, RecentEnds, RunningTask, TaskId, TaskStatus, WorkerId,
};

/// How many groups of tasks with the same owner and status are read, those with the most tasks.
const MAX_GROUPS: i64 = 50_000;
/// How many tasks of a caller are listed.
const MAX_RUNNING: i64 = 100;
/// How many of an owner's newest tasks are looked at for how they ended.
const RECENT: i64 = 1000;
/// For how many times as long as a measurement took nobody measures again.
const REST_FACTOR: u32 = 30;

/// Says how long to leave the store alone after a measurement that took `cost`: `shortest`, or longer if it was costly.
#[must_use]
pub fn rest_after(cost: Duration, shortest: Duration) -> Duration {
    shortest.max(cost * REST_FACTOR)
}

/// The live tasks of all owners at one moment.
#[derive(Clone, Debug, Default)]
pub struct FleetLoad {
    /// What is queued, the highest priority first.
    pub queue: Vec<QueueLoad>,
    /// The owners that have live tasks.
    pub owners: BTreeMap<OwnerId, OwnerLoad>,
}

impl FleetLoad {
    /// Counts the live tasks in a status.
    #[must_use]
    pub fn tasks(&self, status: TaskStatus) -> i64 {
        self.owners.values().map(|owner| owner.count(status)).sum()
    }
}

impl Store {
    /// Counts what is pending, queued, starting and running, in one pass over the partial indexes of those.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn fleet_load(&self) -> Result<FleetLoad, StoreError> {
        let groups = sqlx::query!(
            r#"
            WITH live AS (
                SELECT owner_id, status, priority, count(*) AS count, min(queued_at) AS oldest
                FROM tasks WHERE status = 'queued' GROUP BY 1, 2, 3
                UNION ALL
                SELECT owner_id, status, NULL, count(*), NULL FROM tasks WHERE status = 'pending' GROUP BY 1, 2
                UNION ALL
                SELECT owner_id, status, NULL, count(*), NULL FROM tasks WHERE worker_id IS NOT NULL GROUP BY 1, 2
            ), of_owner AS (
                SELECT owner_id, status, sum(count)::bigint AS count FROM live GROUP BY 1, 2 ORDER BY 3 DESC LIMIT $1
            )
            SELECT NULL::uuid AS "owner_id: OwnerId", NULL::text AS name, priority, status AS "status!: TaskStatus",
                   sum(count)::bigint AS "count!", extract(epoch FROM now() - min(oldest))::float8 AS oldest_age_secs
            FROM live WHERE status = 'queued' GROUP BY priority, status
            UNION ALL
            SELECT c.owner_id, o.name, NULL, c.status, c.count, NULL FROM of_owner c JOIN owners o ON o.id = c.owner_id
            ORDER BY priority DESC
            "#,
            MAX_GROUPS,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut load = FleetLoad::default();
        for group in groups {
            if let Some(owner) = group.owner_id {
                let entry = load.owners.entry(owner).or_default();
                entry.name = group.name.unwrap_or_default();
                if let Some(count) = entry.count_mut(group.status) {
                    *count = group.count;
                }
            } else if let (Some(priority), Some(age)) = (group.priority, group.oldest_age_secs) {
                load.queue.push(QueueLoad { priority, depth: group.count, oldest_age_secs: age.max(0.0) });
            }
        }
        Ok(load)
    }

    /// Counts the workers that are alive and their slots.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn fleet_size(&self) -> Result<FleetSize, StoreError> {
        let size = sqlx::query_as!(
            FleetSize,
            r#"
            SELECT count(*) AS "workers!", coalesce(sum(slots), 0)::bigint AS "slots!",
                   coalesce(sum((SELECT count(*) FROM tasks WHERE worker_id = w.id)), 0)::bigint AS "slots_busy!"
            FROM workers w WHERE ended_at IS NULL AND lease_expires_at > now()
            "#
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(size)
    }

    /// Lists the owner's tasks that workers hold, the oldest first, 100 at most.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn tasks_running(&self, owner: OwnerId) -> Result<Vec<RunningTask>, StoreError> {
        // All held tasks first, of which there are no more than slots: an owner may have any number of others.
        let tasks = sqlx::query!(
            r#"
            WITH held AS MATERIALIZED (
                SELECT id, owner_id, name, status, epoch, worker_id, last_sequence FROM tasks WHERE worker_id IS NOT NULL
            ), own AS (
                SELECT * FROM held WHERE owner_id = $1 ORDER BY id LIMIT $2
            )
            SELECT t.id AS "id!: TaskId", t.name AS "name!", t.status AS "status!: TaskStatus", t.epoch AS "epoch!: Epoch",
                   w.id AS "worker_id: WorkerId", w.name AS worker_name, coalesce(a.started_at, a.claimed_at) AS "since!",
                   extract(epoch FROM clock_timestamp() - coalesce(e.created_at, a.claimed_at))::float8 AS "age!"
            FROM own t
            JOIN workers w ON w.id = t.worker_id
            JOIN attempts a ON a.task_id = t.id AND a.epoch = t.epoch
            LEFT JOIN task_events e ON e.task_id = t.id AND e.sequence = t.last_sequence
            ORDER BY t.id
            "#,
            owner.uuid(),
            MAX_RUNNING,
        )
        .map(|row| RunningTask {
            id: row.id,
            short_id: row.id.short(),
            name: row.name,
            status: row.status,
            epoch: row.epoch,
            worker_id: row.worker_id,
            worker_name: row.worker_name,
            since: row.since,
            last_event_age_secs: row.age.max(0.0),
        })
        .fetch_all(&self.pool)
        .await?;
        Ok(tasks)
    }

    /// Tells how the owner's newest 1,000 tasks ended, as far as they have.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn tasks_recent_ends(&self, owner: OwnerId) -> Result<RecentEnds, StoreError> {
        let ends = sqlx::query_as!(
            RecentEnds,
            r#"
            SELECT count(*) AS "looked_at!", count(*) FILTER (WHERE status IN ('done', 'merged')) AS "done!",
                   count(*) FILTER (WHERE status = 'failed') AS "failed!",
                   count(*) FILTER (WHERE status = 'cancelled') AS "cancelled!"
            FROM (SELECT status FROM tasks WHERE owner_id = $1 ORDER BY id DESC LIMIT $2) AS newest
            "#,
            owner.uuid(),
            RECENT,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_costly_measurement_is_made_less_often() {
        let second = Duration::from_secs(1);
        assert_eq!(rest_after(Duration::from_millis(3), second), second);
        assert_eq!(rest_after(Duration::from_millis(400), second), Duration::from_secs(12));
    }
}
