//! Tasks that ended, and what waits for them.
//!
//! An edge is satisfied once, by whoever marks it; the child's row counts the edges that are not. Whoever marks an edge
//! holds the child's row, so the count is exact however many parents end at the same time, and nothing looks at a parent
//! twice. The end of a task settles a few children in its own statement (`transition.rs`); here are those of a wide
//! fan-out, and the net below both.

use super::ReadyTask;
use crate::domain::{OwnerId, TaskId, WorkerId};
use crate::store::{Store, StoreError};

/// What a round of settling did.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// How many edges were satisfied.
    pub edges: usize,
    /// Tasks that now wait for nothing.
    pub released: Vec<ReadyTask>,
    /// Some of them wait for a slot of their owner's.
    pub slots_wanted: bool,
}

impl Store {
    /// Lists up to `limit` tasks that ended and whose children were not all told.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn tasks_children_waiting(&self, limit: i64) -> Result<Vec<TaskId>, StoreError> {
        let ids = sqlx::query_scalar!(
            r#"SELECT id AS "id: TaskId" FROM tasks WHERE children_waiting ORDER BY id LIMIT $1"#,
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids)
    }

    /// Satisfies up to `limit` edges that lead to those of `parents` that are done, and releases the children that then wait
    /// for nothing. Several calls at once take different edges, and lock children in the same order.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn children_release(&self, parents: &[TaskId], limit: i64) -> Result<Settled, StoreError> {
        let parents: Vec<_> = parents.iter().map(|id| id.uuid()).collect();
        let rows = sqlx::query!(
            r#"
            WITH edge AS (
                -- Whoever is at work on an edge is not waited for, so their order is of no matter. A row that is held stays
                -- where it is.
                UPDATE task_dependencies d SET satisfied = true
                WHERE d.ctid = ANY(ARRAY(
                    SELECT e.ctid FROM task_dependencies e JOIN tasks p ON p.id = e.depends_on_task_id
                    WHERE e.depends_on_task_id = ANY($1) AND NOT e.satisfied AND p.status IN ('done', 'merged')
                    LIMIT $2
                    FOR NO KEY UPDATE OF e SKIP LOCKED))
                RETURNING d.task_id
            ), child AS (
                SELECT c.id, e.count, o.weight, free AND NOT o.limited AS is_ready, free AND o.limited AS wants_slot
                FROM (SELECT task_id, count(*)::integer AS count FROM edge GROUP BY task_id) AS e
                JOIN tasks c ON c.id = e.task_id
                JOIN owners o ON o.id = c.owner_id,
                LATERAL (SELECT c.status = 'pending' AND coalesce(c.undone_parents = e.count, false)
                                AND coalesce(c.not_before <= now(), true)) AS f (free)
                ORDER BY c.id
                FOR NO KEY UPDATE OF c
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
                RETURNING c.id, c.owner_id, c.epoch, c.last_sequence, c.priority, c.labels, c.queued_at,
                          c.excluded_worker_ids, child.weight, child.is_ready, child.wants_slot
            ), event AS (
                INSERT INTO task_events (task_id, sequence, epoch, kind, data)
                SELECT id, last_sequence, epoch, 'status'::event_kind,
                       '{"transition": "released", "from": "pending", "to": "queued"}'::jsonb
                FROM counted WHERE is_ready
            )
            SELECT id AS "id: TaskId", owner_id AS "owner_id: OwnerId", priority, labels, queued_at,
                   excluded_worker_ids AS "excluded_worker_ids: Vec<WorkerId>", weight, is_ready AS "is_ready!",
                   wants_slot AS "wants_slot!", (SELECT count(*) FROM edge) AS "edges!"
            FROM counted
            "#,
            &parents,
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut settled = Settled::default();
        for row in rows {
            settled.edges = usize::try_from(row.edges).unwrap_or_default();
            settled.slots_wanted |= row.wants_slot;
            if let Some(queued_at) = row.queued_at.filter(|_| row.is_ready) {
                settled.released.push(ReadyTask {
                    id: row.id,
                    owner_id: row.owner_id,
                    owner_weight: row.weight,
                    priority: row.priority,
                    queued_at,
                    labels: row.labels,
                    excluded_worker_ids: row.excluded_worker_ids,
                });
            }
        }
        Ok(settled)
    }

    /// Takes the mark off those of `parents` whose children have all been told: no open edge leads to one that is done, and
    /// no pending task waits for one that failed.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn parents_settled(&self, parents: &[TaskId]) -> Result<u64, StoreError> {
        let parents: Vec<_> = parents.iter().map(|id| id.uuid()).collect();
        let settled = sqlx::query!(
            r#"
            UPDATE tasks p SET
                children_waiting = false,
                open_children = CASE WHEN p.status IN ('done', 'merged') THEN 0 ELSE p.open_children END
            FROM (SELECT id FROM tasks WHERE id = ANY($1) AND children_waiting ORDER BY id FOR NO KEY UPDATE) AS held
            WHERE p.id = held.id AND NOT EXISTS (
                SELECT FROM task_dependencies d JOIN tasks c ON c.id = d.task_id
                WHERE d.depends_on_task_id = p.id AND NOT d.satisfied
                  AND (p.status IN ('done', 'merged') OR c.status = 'pending'))
            "#,
            &parents,
        )
        .execute(&self.pool)
        .await?;
        Ok(settled.rows_affected())
    }

    /// Finds up to `limit` pending tasks that wait for one of `parents` that can no longer be done, each with that one named
    /// in words.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn children_blocked(
        &self,
        parents: &[TaskId],
        limit: i64,
    ) -> Result<Vec<(TaskId, String)>, StoreError> {
        let parents: Vec<_> = parents.iter().map(|id| id.uuid()).collect();
        let rows = sqlx::query!(
            r#"
            SELECT DISTINCT ON (t.id) t.id AS "id: TaskId", p.id AS "parent: TaskId", p.name, p.status::text AS "status!"
            FROM tasks p
            JOIN task_dependencies d ON d.depends_on_task_id = p.id
            JOIN tasks t ON t.id = d.task_id
            WHERE p.id = ANY($1) AND t.status = 'pending' AND p.status IN ('failed', 'cancelled')
            ORDER BY t.id LIMIT $2
            "#,
            &parents,
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        let words = |parent: TaskId, name: &str, status: &str| {
            format!("it depends on {} ({name}), which is {status}", parent.short())
        };
        Ok(rows.into_iter().map(|row| (row.id, words(row.parent, &row.name, &row.status))).collect())
    }

    /// Finds what the marks do not show, because the version before wrote it: counts the dependencies of up to `limit`
    /// pending tasks that were not counted, and marks up to `limit` ended tasks with children that were not told.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn dependencies_recount(&self, limit: i64) -> Result<u64, StoreError> {
        let counted = self.parents_count(limit).await?;
        let marked = sqlx::query!(
            r#"
            WITH missed AS (
                SELECT p.id FROM tasks p
                WHERE NOT p.children_waiting AND p.finished_at IS NOT NULL AND p.id IN (
                    SELECT d.depends_on_task_id FROM task_dependencies d JOIN tasks c ON c.id = d.task_id
                    WHERE NOT d.satisfied AND c.status = 'pending')
                ORDER BY p.id LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
            )
            UPDATE tasks p SET children_waiting = true FROM missed WHERE p.id = missed.id
            "#,
            limit,
        )
        .execute(&self.pool)
        .await?;
        Ok(counted + marked.rows_affected())
    }

    /// Counts in a statement of its own, after the locks were had, so that no edge changes between the look and the count.
    async fn parents_count(&self, limit: i64) -> Result<u64, StoreError> {
        let mut txn = self.pool.begin().await?;
        let uncounted = sqlx::query_scalar!(
            r#"
            SELECT id FROM tasks WHERE status = 'pending' AND undone_parents IS NULL
            ORDER BY id LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
            "#,
            limit,
        )
        .fetch_all(&mut *txn)
        .await?;
        let counted = sqlx::query!(
            r#"
            UPDATE tasks t SET
                undone_parents = (SELECT count(*) FROM task_dependencies d WHERE d.task_id = t.id AND NOT d.satisfied),
                not_before = coalesce(t.not_before, now())
            WHERE t.id = ANY($1)
            "#,
            &uncounted,
        )
        .execute(&mut *txn)
        .await?;
        txn.commit().await?;
        Ok(counted.rows_affected())
    }
}
