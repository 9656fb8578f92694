//! The output of tasks that ended long ago. Their other events stay, with their numbers, and a notice says what is missing.

use std::time::Duration;

use crate::store::{Store, StoreError};

/// What a round of pruning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrunedOutput {
    /// How many lines were deleted.
    pub lines: i64,
    /// How many tasks have no output any more.
    pub tasks: i64,
}

impl Store {
    /// Deletes up to `lines` lines of output of up to `tasks` tasks that ended longer ago than `keep`.
    ///
    /// # Errors
    /// PostgreSQL is away.
    pub async fn output_prune(
        &self,
        keep: Duration,
        tasks: i64,
        lines: i64,
    ) -> Result<PrunedOutput, StoreError> {
        // Lines go in the order of their tasks: where there are more than fit, the last task is not through yet.
        let pruned = sqlx::query_as!(
            PrunedOutput,
            r#"
            WITH due AS (
                SELECT id, last_sequence FROM tasks
                WHERE has_output AND finished_at < now() - make_interval(secs => $1)
                ORDER BY finished_at LIMIT $2
                FOR NO KEY UPDATE SKIP LOCKED
            ), doomed AS (
                SELECT e.task_id, e.sequence FROM due JOIN task_events e ON e.task_id = due.id
                WHERE e.kind = 'output'
                ORDER BY e.task_id, e.sequence LIMIT $3
            ), pruned AS (
                DELETE FROM task_events e USING doomed d WHERE e.task_id = d.task_id AND e.sequence = d.sequence
            ), through AS (
                -- Where what stays does not fill the numbers, there was something.
                SELECT due.id, due.last_sequence > (
                    SELECT count(*) FROM task_events e WHERE e.task_id = due.id AND e.kind <> 'output') AS had_some
                FROM due
                WHERE (SELECT count(*) FROM doomed) < $3
                   OR due.id < (SELECT task_id FROM doomed ORDER BY task_id DESC LIMIT 1)
            ), marked AS (
                UPDATE tasks t SET has_output = false, last_sequence = t.last_sequence + had_some::integer
                FROM through WHERE t.id = through.id
                RETURNING t.id, t.epoch, t.last_sequence, had_some
            ), event AS (
                INSERT INTO task_events (task_id, sequence, epoch, kind, data)
                SELECT id, last_sequence, epoch, 'notice', jsonb_build_object(
                    'code', 'OUTPUT_PRUNED', 'message', 'the output up to here was deleted: it was kept long enough')
                FROM marked WHERE had_some
            )
            SELECT (SELECT count(*) FROM doomed) AS "lines!", (SELECT count(*) FROM marked) AS "tasks!"
            "#,
            keep.as_secs_f64(),
            tasks,
            lines,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(pruned)
    }
}
