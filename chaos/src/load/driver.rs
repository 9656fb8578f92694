//! Submits pieces for as long as it is asked to, as fast as the stack keeps up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use makima_shared::domain::TaskId;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::insist::{self, Submission};
use super::piece::{Draft, Piece};
use super::stops;
use crate::client::Client;
use crate::ledger::{AskedTask, Fact, Ledger};
use crate::stack::Stack;

/// How many clients submit at once.
const SUBMITTERS: u64 = 3;
/// How many tasks for each slot may be open before the clients hold back.
const OPEN_PER_SLOT: usize = 3;
/// How often the open tasks are counted while there are too many.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What submits. Clones share everything.
#[derive(Clone)]
pub(crate) struct Driver {
    pub(crate) client: Client,
    pub(crate) ledger: Ledger,
    /// Cancelled when no new piece is to be begun.
    pub(crate) over: CancellationToken,
    /// Cancelled when what has no answer yet is given up.
    pub(crate) give_up: CancellationToken,
    pool: PgPool,
    repository: String,
    witness: String,
    next: Arc<AtomicU64>,
    max_open: i64,
    stops: Arc<tokio::sync::Mutex<JoinSet<anyhow::Result<()>>>>,
}

impl Driver {
    /// Makes a driver for a stack. Nothing is submitted yet.
    pub(crate) fn new(stack: &Stack, slots: usize) -> anyhow::Result<Self> {
        Ok(Self {
            client: stack.client.clone(),
            ledger: Ledger::create(stack.scratch.path())?,
            over: CancellationToken::new(),
            give_up: CancellationToken::new(),
            pool: stack.pool.clone(),
            repository: stack.remote.url(),
            witness: stack.scratch.witness().display().to_string(),
            next: Arc::default(),
            max_open: i64::try_from(slots * OPEN_PER_SLOT)?,
            stops: Arc::default(),
        })
    }

    /// Submits a whole piece, parents first, and sees to the stops in it. A task whose parents were not taken is left out.
    pub(crate) async fn submit(&self, piece: &Piece) -> anyhow::Result<()> {
        let mut ids: Vec<Option<TaskId>> = Vec::new();
        for task in &piece.tasks {
            let parents: Option<Vec<_>> = task.parents.iter().map(|parent| ids[*parent]).collect();
            let id = match parents {
                Some(parents) => {
                    self.insist(task, &self.submission(piece.owner, task, &parents), parents).await?
                }
                None => None,
            };
            ids.push(id);
        }
        Ok(())
    }

    /// Gives a task a name and a key, and makes its submission.
    pub(crate) fn submission(&self, owner: usize, task: &Draft, parents: &[TaskId]) -> Submission {
        let key =
            format!("{}-{}", task.kind.as_str().replace(' ', "-"), self.next.fetch_add(1, Ordering::Relaxed));
        let body = self.body(task, &key, parents);
        Submission { owner, key, body }
    }

    /// Returns what is sent to submit a task under a name.
    pub(super) fn body(&self, task: &Draft, name: &str, parents: &[TaskId]) -> Value {
        let parents: Vec<_> = parents.iter().map(TaskId::to_string).collect();
        task.body(name, &self.repository, &self.witness, &parents)
    }

    /// Submits a task until it is answered, enters it in the ledger, and sees to its stop.
    pub(crate) async fn insist(
        &self,
        task: &Draft,
        submission: &Submission,
        parents: Vec<TaskId>,
    ) -> anyhow::Result<Option<TaskId>> {
        let Some(id) = insist::submit(self, submission).await? else { return Ok(None) };
        let (owner, key) = (submission.owner, submission.key.clone());
        let Draft { kind, lines, is_pushed, .. } = *task;
        let asked = AskedTask { owner, kind, lines, is_pushed, parents };
        self.ledger.write(Fact::Task { task: id, key, asked }).await?;
        if task.is_sent_again {
            insist::submit(self, submission).await?;
        }
        if let Some(after) = task.stop_after {
            self.stops.lock().await.spawn(stops::stop(self.clone(), owner, id, after));
        }
        Ok(Some(id))
    }

    /// Waits until every stop was seen through.
    pub(crate) async fn stops_seen_through(&self) -> anyhow::Result<()> {
        let mut stops = self.stops.lock().await;
        while let Some(stop) = stops.join_next().await {
            stop??;
        }
        Ok(())
    }

    /// Waits until the stack has caught up. While PostgreSQL is away nothing is counted, and the clients go on.
    async fn room(&self) {
        loop {
            let open = sqlx::query_scalar("SELECT count(*) FROM tasks WHERE finished_at IS NULL");
            let open: i64 = open.fetch_one(&self.pool).await.unwrap_or(0);
            if open < self.max_open || self.over.is_cancelled() {
                return;
            }
            sleep(LOOK_EVERY).await; // why: nothing tells when a task ends
        }
    }
}

/// Submits until the driver is told that it is over.
pub(crate) async fn run(
    driver: &Driver,
    seed: u64,
    next: impl Fn(&mut StdRng) -> Piece + Clone + Send + 'static,
) -> anyhow::Result<()> {
    let mut clients = JoinSet::new();
    for client in 0..SUBMITTERS {
        let (driver, next) = (driver.clone(), next.clone());
        let mut rng = StdRng::seed_from_u64(seed.wrapping_add(client + 1));
        clients.spawn(async move {
            while !driver.over.is_cancelled() {
                driver.room().await;
                driver.submit(&next(&mut rng)).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(())
}
