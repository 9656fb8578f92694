//! S: the rows that makima writes, written by plain SQL over one connection, in batches.
//!
//! It works on copies of makima's tables with all their columns, defaults, checks and indexes, and without their foreign
//! keys. Three statements a batch, each committed: the tasks inserted, claimed, completed, with their attempts and events.
//! It decides nothing, reads nothing back, and tells nobody.

use std::time::{Duration, Instant, SystemTime};

use makima_shared::domain::{TaskId, WorkerId};
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

use crate::progress::Phase;
use crate::samples::rate;
use crate::stack::Servers;

/// Tasks of one batch.
const BATCH: usize = 500;

const TABLES: [&str; 3] = ["tasks", "attempts", "task_events"];

const INSERT: &str = r#"
    WITH created AS (
        INSERT INTO makima_plain.tasks (id, owner_id, status, queued_at, undone_parents, name, plan, repository_url, agent,
                                        last_sequence)
        SELECT id, $2, CASE WHEN $3 = 0 THEN 'queued' ELSE 'pending' END::task_status, CASE WHEN $3 = 0 THEN now() END, $3,
               'bench', 'Take no time.', 'https://example.invalid/bench.git', '{"kind":"command","argv":["true"]}', 1
        FROM unnest($1::uuid[]) AS id
        RETURNING id, status
    )
    INSERT INTO makima_plain.task_events (task_id, sequence, epoch, kind, data)
    SELECT id, 1, 0, 'status', '{"transition":"submitted","to":"queued"}' FROM created"#;

const CLAIM: &str = r#"
    WITH claimed AS (
        UPDATE makima_plain.tasks SET
            status = 'starting', epoch = epoch + 1, worker_id = $2, last_sequence = last_sequence + 1,
            version = version + 1, updated_at = now()
        WHERE id = ANY($1) AND status = 'queued'
        RETURNING id, epoch, last_sequence
    ), attempt AS (
        INSERT INTO makima_plain.attempts (task_id, epoch, worker_id) SELECT id, epoch, $2 FROM claimed
    )
    INSERT INTO makima_plain.task_events (task_id, sequence, epoch, kind, data)
    SELECT id, last_sequence, epoch, 'status',
           '{"transition":"claimed","from":"queued","to":"starting","workerId":"01890a5d-ac96-774b-bcce-b302099a8057"}'
    FROM claimed"#;

const COMPLETE: &str = r#"
    WITH done AS (
        UPDATE makima_plain.tasks SET
            status = 'done', worker_id = NULL, finished_at = now(), last_sequence = last_sequence + 2,
            version = version + 1, updated_at = now()
        WHERE id = ANY($1) AND status = 'starting' AND epoch = 1
        RETURNING id, epoch, last_sequence
    ), attempt AS (
        UPDATE makima_plain.attempts SET started_at = now(), ended_at = now(), outcome = 'completed'
        WHERE task_id = ANY($1) AND epoch = 1
    )
    INSERT INTO makima_plain.task_events (task_id, sequence, epoch, kind, data)
    SELECT id, last_sequence - 1, epoch, 'status'::event_kind,
           '{"transition":"started","from":"starting","to":"running","workerId":"01890a5d-ac96-774b-bcce-b302099a8057"}'::jsonb
    FROM done
    UNION ALL
    SELECT id, last_sequence, epoch, 'status',
           '{"transition":"completed","from":"running","to":"done","workerId":"01890a5d-ac96-774b-bcce-b302099a8057","outcome":"completed"}'
    FROM done"#;

const RELEASE: &str = r#"
    WITH released AS (
        UPDATE makima_plain.tasks SET
            status = 'queued', undone_parents = 0, queued_at = now(), last_sequence = last_sequence + 1,
            version = version + 1, updated_at = now()
        WHERE id = ANY($1) AND status = 'pending'
        RETURNING id, epoch, last_sequence
    )
    INSERT INTO makima_plain.task_events (task_id, sequence, epoch, kind, data)
    SELECT id, last_sequence, epoch, 'status', '{"transition":"released","from":"pending","to":"queued"}' FROM released"#;

/// Copies of the tables, and the connection to work on them.
pub(crate) struct PlainSql {
    connection: PgConnection,
}

impl PlainSql {
    /// Makes the copies and does a little work on them, so that PostgreSQL knows what they look like.
    pub(crate) async fn open(servers: &Servers) -> anyhow::Result<Self> {
        let mut plain = Self { connection: servers.connect().await? };
        plain.execute("CREATE SCHEMA makima_plain").await?;
        for table in TABLES {
            plain
                .execute(&format!("CREATE TABLE makima_plain.{table} (LIKE public.{table} INCLUDING ALL)"))
                .await?;
        }
        for _ in 0..4 {
            plain.batch().await?;
        }
        for table in TABLES {
            plain.execute(&format!("VACUUM ANALYZE makima_plain.{table}")).await?;
        }
        Ok(plain)
    }

    /// Takes tasks from their insertion to their end, and returns how many there were per second.
    pub(crate) async fn tasks(&mut self, tasks: usize, phase: &Phase) -> anyhow::Result<f64> {
        let start = SystemTime::now();
        for _ in 0..tasks / BATCH {
            self.batch().await?;
            phase.step();
        }
        Ok(rate(tasks / BATCH * BATCH, start, SystemTime::now()))
    }

    /// Makes pending tasks `queued` by one statement, and returns how long that took.
    pub(crate) async fn release(&mut self, tasks: usize) -> anyhow::Result<Duration> {
        let ids = ids(tasks);
        self.insert(&ids, 1).await?;
        let start = Instant::now();
        sqlx::query(RELEASE).bind(&ids).execute(&mut self.connection).await?;
        Ok(start.elapsed())
    }

    /// Removes the copies.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        self.execute("DROP SCHEMA makima_plain CASCADE").await
    }

    async fn batch(&mut self) -> anyhow::Result<()> {
        let ids = ids(BATCH);
        self.insert(&ids, 0).await?;
        let worker = WorkerId::new().uuid();
        sqlx::query(CLAIM).bind(&ids).bind(worker).execute(&mut self.connection).await?;
        sqlx::query(COMPLETE).bind(&ids).execute(&mut self.connection).await?;
        Ok(())
    }

    async fn insert(&mut self, ids: &[Uuid], undone_parents: i32) -> anyhow::Result<()> {
        let owner = TaskId::new().uuid();
        let insert = sqlx::query(INSERT).bind(ids).bind(owner).bind(undone_parents);
        insert.execute(&mut self.connection).await?;
        Ok(())
    }

    async fn execute(&mut self, statement: &str) -> anyhow::Result<()> {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut self.connection).await?;
        Ok(())
    }
}

fn ids(count: usize) -> Vec<Uuid> {
    (0..count).map(|_| TaskId::new().uuid()).collect()
}
