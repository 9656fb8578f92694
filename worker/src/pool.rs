//! One life of a worker: it registers, claims as many tasks as it has slots, and looks after them until it drains or
//! loses its lease.

mod audit;
mod claim;
mod claims;
mod confine;
mod quarantine;
mod room;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use makima_shared::domain::{NewWorker, WorkerId};
use makima_shared::queue::InboxMessage;
use makima_shared::store::answered;
use tokio::sync::{Mutex, Notify, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::kept::{self, Kept};
use crate::lease::Lease;
use crate::moves::{self, Moves};
use crate::presence;
use crate::process::boottime_ms;
use crate::ready::Ready;
use crate::roster::Roster;
use crate::work_dir::WorkDir;
use crate::{Context, WorkerError};
use claims::Claims;
use tally::Tally;

/// How long one wait for a message lasts, and so how long a lost bell can cost.
const INBOX_PATIENCE: Duration = Duration::from_secs(4);
/// How long PostgreSQL or Redis is left alone after it failed.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// What the parts of one life share.
pub(crate) struct Life {
    pub(crate) context: Arc<Context>,
    pub(crate) id: WorkerId,
    pub(crate) lease: Lease,
    pub(crate) work_dir: WorkDir,
    /// Workspaces of an earlier life in it.
    pub(crate) kept: Kept,
    /// Workspaces that stand ready in it.
    pub(crate) ready: Arc<Ready>,
    pub(crate) moves: Moves,
    /// Cancelled when the worker shall hand its tasks back.
    pub(crate) drain: CancellationToken,
    roster: Arc<Roster>,
    slots: Arc<Semaphore>,
    /// Makes the worker ask for tasks.
    pub(crate) bell: Notify,
    /// What it has done so far.
    pub(crate) tally: Tally,
    /// Held over a claim, so that the audit never sees a task that was claimed but not entered yet.
    claims: Mutex<Claims>,
    attempts: TaskTracker,
}

/// Lives one life: until the token is cancelled and everything was handed back, or the lease is lost and all agents are
/// dead.
pub(crate) async fn live(context: &Arc<Context>, shutdown: &CancellationToken) -> Result<(), WorkerError> {
    let (moves, asked) = Moves::new();
    let Some(life) = begin(context, moves, shutdown).await? else { return Ok(()) };
    let life = Arc::new(life);
    let over = CancellationToken::new();
    let helpers = async {
        let moves = moves::run(asked, &context.store, &context.queue, &over);
        let presence = presence::keep(&life, &over);
        let tally = tally::run(&life, &over);
        let workspaces = async { tokio::join!(life.ready.keep_up(&over), kept::weed(&life, &over)) };
        tokio::join!(read_inbox(&life, &over), audit::run(&life, &over), moves, presence, tally, workspaces);
    };
    let work = async {
        tokio::select! {
            () = claim::run(&life, shutdown) => drain(&life).await,
            () = life.lease.lost.cancelled() => {}
        }
        life.attempts.close();
        life.attempts.wait().await;
        over.cancel();
    };
    tokio::join!(helpers, work);
    end(&life).await;
    Ok(())
}

/// Registers under a fresh id, as soon as PostgreSQL answers; `None` if the worker is asked to end before that.
async fn begin(
    context: &Arc<Context>,
    moves: Moves,
    shutdown: &CancellationToken,
) -> Result<Option<Life>, WorkerError> {
    let config = &context.config;
    let id = WorkerId::new();
    let data_dir = config.worker.data_dir.clone();
    let opened = tokio::task::spawn_blocking(move || WorkDir::open(&data_dir, id)).await;
    let work_dir = opened
        .unwrap_or_else(|panicked| Err(std::io::Error::other(panicked)))
        .map_err(|source| WorkerError::DataDir { path: config.worker.data_dir.clone(), source })?;
    let worker = NewWorker {
        id,
        name: config.worker.name.clone(),
        host: host_name(),
        pid: i32::try_from(std::process::id()).unwrap_or(i32::MAX),
        slots: i32::try_from(config.worker.slots).unwrap_or(i32::MAX),
        labels: config.worker.labels.clone(),
    };
    let registered_ms = loop {
        let asked_ms = boottime_ms();
        let registered = tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            registered = answered(context.store.worker_register(&worker, config.worker.lease)) => registered,
        };
        match registered {
            Ok(()) => break asked_ms,
            Err(error) => warn!(error = &error as &dyn std::error::Error, "cannot register, trying again"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            () = sleep(RETRY_DELAY) => {} // why: back-off before the next try
        }
    };
    info!(worker.id = %id, worker.name = worker.name, slots = worker.slots, "registered");
    let lease = Lease::keep(config, id, registered_ms).map_err(WorkerError::LeaseThread)?;
    Ok(Some(Life {
        context: Arc::clone(context),
        id,
        lease,
        kept: Kept::of(&work_dir.kept()),
        ready: Arc::new(Ready::new(work_dir.path().join("ready"), config.worker.ready_workspaces as usize)),
        work_dir,
        moves,
        drain: CancellationToken::new(),
        roster: Arc::default(),
        slots: Arc::new(Semaphore::new(config.worker.slots as usize)),
        bell: Notify::new(),
        tally: Tally::default(),
        claims: Mutex::default(),
        attempts: TaskTracker::new(),
    }))
}

fn host_name() -> String {
    nix::unistd::gethostname()
        .map_or_else(|_unnamed| "unknown".to_owned(), |name| name.to_string_lossy().into_owned())
}

async fn drain(life: &Life) {
    info!(worker.id = %life.id, running = life.attempts.len(), "draining: tasks are checkpointed and handed back");
    // First of all: a signal to the whole control group reaches the agents' shims as well, and what they do about it is
    // only told from a failure while the drain is known.
    life.drain.cancel();
    if let Err(error) = answered(life.context.store.worker_drain(life.id)).await {
        debug!(error = &error as &dyn std::error::Error, "the drain could not be announced");
    }
}

/// Says goodbye, so that nobody waits for the lease to run out.
async fn end(life: &Life) {
    if let Err(error) = answered(life.context.store.worker_end(life.id)).await {
        debug!(error = &error as &dyn std::error::Error, "the worker's row stays until its lease ends");
    }
    if let Err(error) = life.context.queue.worker_forget(life.id).await {
        debug!(error = &error as &dyn std::error::Error, "the worker's keys stay until they expire");
    }
    info!(worker.id = %life.id, "ended");
}

/// Hears bells, stops and word of messages to agents. While Redis is away the claims go on by period, and the audit
/// finds the others.
async fn read_inbox(life: &Life, over: &CancellationToken) {
    let mut inbox = life.context.queue.inbox(life.id);
    loop {
        let message = tokio::select! {
            () = over.cancelled() => return,
            message = inbox.next(INBOX_PATIENCE) => message,
        };
        match message {
            Ok(Some(InboxMessage::Claim) | None) => life.bell.notify_one(),
            Ok(Some(InboxMessage::Stop(attempt))) => life.roster.end(attempt),
            Ok(Some(InboxMessage::Message { attempt, number })) => life.roster.message(attempt, number),
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "cannot read the inbox");
                tokio::select! {
                    () = over.cancelled() => return,
                    () = sleep(RETRY_DELAY) => {} // why: back-off before the next connection
                }
            }
        }
    }
}
