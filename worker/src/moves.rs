//! The moves of all attempts of a worker, brought to the store in batches.
//!
//! Moves that come while a batch is on its way make up the next one, so an idle worker waits for nothing and a busy one
//! commits once for many tasks. PostgreSQL being away is no reason to fail a task: a batch is given until it is answered,
//! for as long as the worker's life lasts. Giving a fenced move twice is safe.
//!
//! What others wait for is told here too, once the store has taken the moves.

use std::time::Duration;

use makima_shared::domain::{TaskId, Transition};
use makima_shared::queue::Queue;
use makima_shared::store::{Applied, AppliedAll, Move, Store, StoreError, answered};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::hints;

/// The most moves of one statement.
const MAX_BATCH: usize = 500;
/// How long the store is left alone after it failed, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

type Answer = Result<Applied, StoreError>;

/// A move, and who waits for what becomes of it.
pub(crate) struct Asked {
    asked: Move,
    reply: oneshot::Sender<Answer>,
}

/// Where attempts hand their moves in.
#[derive(Clone)]
pub(crate) struct Moves(mpsc::Sender<Asked>);

impl Moves {
    /// Makes the two ends; [`run`] serves the other one.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Asked>) {
        let (sender, receiver) = mpsc::channel(2 * MAX_BATCH);
        (Self(sender), receiver)
    }

    /// Makes a move, and returns what became of it. Waits while the store is away; refused once the worker's life is over.
    ///
    /// # Errors
    /// PostgreSQL cannot hold the move.
    pub(crate) async fn apply(&self, task: TaskId, transition: Transition) -> Answer {
        let (reply, answer) = oneshot::channel();
        let asked = Move { task, transition };
        if self.0.send(Asked { asked, reply }).await.is_err() {
            return Ok(Applied::Refused);
        }
        answer.await.unwrap_or(Ok(Applied::Refused))
    }
}

/// Serves moves until `over`, and gives the hints that were begun.
pub(crate) async fn run(
    mut moves: mpsc::Receiver<Asked>,
    store: &Store,
    queue: &Queue,
    over: &CancellationToken,
) {
    let hints = TaskTracker::new();
    let mut batch = Vec::with_capacity(MAX_BATCH);
    loop {
        tokio::select! {
            () = over.cancelled() => break,
            count = moves.recv_many(&mut batch, MAX_BATCH) => if count == 0 { break },
        }
        let (asked, replies): (Vec<_>, Vec<_>) = batch.drain(..).map(|one| (one.asked, one.reply)).unzip();
        tokio::select! {
            () = over.cancelled() => break,
            () = serve(asked, replies, store, queue, &hints) => {}
        }
    }
    hints.close();
    hints.wait().await;
}

async fn serve(
    asked: Vec<Move>,
    replies: Vec<oneshot::Sender<Answer>>,
    store: &Store,
    queue: &Queue,
    hints: &TaskTracker,
) {
    match insist(store, &asked).await {
        Ok(all) => give(asked, replies, all, queue, hints),
        Err(error) if asked.len() == 1 => {
            if let Some(reply) = replies.into_iter().next() {
                let _nobody_waits = reply.send(Err(error));
            }
        }
        // One of them cannot be stored; the others must not fail with it.
        Err(_) => {
            for (one, reply) in asked.into_iter().zip(replies) {
                let one = vec![one];
                match insist(store, &one).await {
                    Ok(all) => give(one, vec![reply], all, queue, hints),
                    Err(error) => {
                        let _nobody_waits = reply.send(Err(error));
                    }
                }
            }
        }
    }
}

/// Answers those who wait, and tells everybody else.
fn give(
    asked: Vec<Move>,
    replies: Vec<oneshot::Sender<Answer>>,
    all: AppliedAll,
    queue: &Queue,
    hints: &TaskTracker,
) {
    for (reply, applied) in replies.into_iter().zip(&all.applied) {
        // An attempt that was revoked meanwhile waits no more.
        let _ = reply.send(Ok(applied.clone()));
    }
    let queue = queue.clone();
    hints.spawn(async move { hints::moved(&queue, &asked, &all).await });
}

/// Asks the store until it answers.
async fn insist(store: &Store, moves: &[Move]) -> Result<AppliedAll, StoreError> {
    let mut pause = FIRST_PAUSE;
    loop {
        match answered(store.tasks_transition(moves)).await {
            Err(error @ StoreError::Unavailable(_)) => {
                warn!(error = &error as &dyn std::error::Error, "the store is away, trying again");
                sleep(pause).await; // why: back-off before the next try
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            answer => return answer,
        }
    }
}
