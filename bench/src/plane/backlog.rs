//! A backlog: tasks that are queued, in PostgreSQL and in Redis, without the way over HTTP.

use chrono::Utc;
use makima_shared::domain::TaskId;
use makima_shared::store::ReadyTask;
use sqlx::types::Uuid;

use super::Plane;
use crate::progress::Phase;

/// Tasks of one statement.
const BATCH: usize = 10_000;

const INSERT: &str = r#"
    WITH created AS (
        INSERT INTO tasks (id, owner_id, status, queued_at, undone_parents, name, plan, repository_url, agent, last_sequence)
        SELECT id, $2, 'queued', now(), 0, 'bench', 'Return.', 'https://example.invalid/bench.git',
               '{"kind":"command","argv":["true"]}', 1
        FROM unnest($1::uuid[]) AS id
        RETURNING id
    )
    INSERT INTO task_events (task_id, sequence, epoch, kind, data)
    SELECT id, 1, 0, 'status', '{"transition":"submitted","to":"queued"}' FROM created"#;

/// Adds tasks.
pub(super) async fn add(plane: &Plane<'_>, tasks: usize, phase: &Phase) -> anyhow::Result<()> {
    let mut connection = plane.servers.connect().await?;
    let mut left = tasks;
    while left > 0 {
        let ids: Vec<_> = (0..left.min(BATCH)).map(|_| TaskId::new()).collect();
        let bare: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        sqlx::query(INSERT).bind(bare).bind(plane.owner.uuid()).execute(&mut connection).await?;
        let ready: Vec<_> = ids.iter().map(|id| ready(plane, *id)).collect();
        plane.queue.ready_push(&ready).await?;
        left -= ids.len();
        (0..ids.len() / 1_000).for_each(|_| phase.step());
    }
    Ok(())
}

fn ready(plane: &Plane<'_>, id: TaskId) -> ReadyTask {
    ReadyTask {
        id,
        owner_id: plane.owner,
        owner_weight: 1,
        priority: 50,
        queued_at: Utc::now(),
        labels: Vec::new(),
        excluded_worker_ids: Vec::new(),
    }
}
