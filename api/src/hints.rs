//! Word to Redis of what PostgreSQL has taken: after the commit, beside the answer.
//!
//! An answer never waits for a hint, and a hint that fails is logged and forgotten: the scheduler's sweep and the
//! workers' beats make up for it. Every hint is tracked, so that an orderly end still gives those that were begun.

use std::time::Duration;

use makima_shared::domain::{Task, TaskId};
use makima_shared::queue::{Queue, QueueError};
use makima_shared::store::{Moved, ReadyTask};
use makima_shared::telemetry::names;
use tokio_util::task::TaskTracker;

/// How long a hint may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(2);

/// Gives hints in the background.
#[derive(Clone)]
pub(crate) struct Hints {
    queue: Queue,
    tracker: TaskTracker,
}

impl Hints {
    pub(crate) fn new(queue: Queue) -> Self {
        Self { queue, tracker: TaskTracker::new() }
    }

    /// Tells that a task that has just been submitted may be claimed.
    pub(crate) fn task_ready(&self, task: &Task) {
        let (queue, id) = (self.queue.clone(), task.id);
        let ready = ReadyTask {
            id,
            priority: task.priority,
            queued_at: task.created_at,
            excluded_worker_ids: Vec::new(),
        };
        self.track(async move { give("ready", id, queue.ready_push(&[ready])).await });
    }

    /// Tells all whom it concerns that a task was stopped: its worker first, then dispatch, the scheduler and followers.
    pub(crate) fn task_stopped(&self, id: TaskId, moved: &Moved) {
        let queue = self.queue.clone();
        let (held_by, epoch, sequence) = (moved.held_by, moved.epoch, moved.sequence);
        self.track(async move {
            let worker = async {
                if let Some(worker) = held_by {
                    give("stop", id, queue.worker_stop(worker, id, epoch)).await;
                }
            };
            tokio::join!(
                worker,
                give("remove", id, queue.ready_remove(id)),
                give("wake", id, queue.scheduler_wake(id)),
                give("announce", id, queue.events_announce(id, sequence)),
            );
        });
    }

    /// Runs something beside the requests, and counts it among what [`Hints::finish`] waits for.
    pub(crate) fn track(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(work);
    }

    /// Waits for what was begun.
    pub(crate) async fn finish(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

async fn give(hint: &'static str, task: TaskId, work: impl Future<Output = Result<(), QueueError>>) {
    let problem = match tokio::time::timeout(PATIENCE, work).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => "Redis did not answer".to_owned(),
    };
    metrics::counter!(names::HINTS_LOST).increment(1);
    tracing::warn!(task.id = %task, hint, problem, "a hint was lost; the scheduler makes up for it");
}
