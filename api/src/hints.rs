//! Word to Redis of what PostgreSQL has taken: after the commit, beside the answer.
//!
//! An answer never waits for a hint, and a hint that fails is logged and forgotten: the scheduler's sweep and the
//! workers' beats make up for it. Every hint is tracked, so that an orderly end still gives those that were begun.

use std::time::Duration;

use makima_shared::domain::{OwnerId, TaskId};
use makima_shared::queue::{Queue, QueueError, WakeCall};
use makima_shared::store::{AcceptedTask, DeletedTask, MessageTaken, Moved, OpenAttempt, TaskNews};
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

    /// Tells that tasks that have just been submitted may be claimed, or wait for a slot.
    pub(crate) fn tasks_accepted(&self, tasks: Vec<AcceptedTask>) {
        let wants_slots = tasks.iter().any(|task| task.waits_for_slot);
        let ready: Vec<_> = tasks.into_iter().filter_map(|task| task.ready).collect();
        let queue = self.queue.clone();
        self.track(async move {
            if !ready.is_empty() {
                give("ready", queue.ready_push(&ready)).await;
            }
            if wants_slots {
                give("wake", queue.scheduler_wake(WakeCall::Slots)).await;
            }
        });
    }

    /// Tells all whom it concerns that a task was stopped: its worker first, then dispatch, the scheduler and followers.
    pub(crate) fn task_stopped(&self, id: TaskId, moved: &Moved) {
        let queue = self.queue.clone();
        let moved = moved.clone();
        self.track(async move {
            let worker = async {
                if let Some(worker) = moved.held_by {
                    give("stop", queue.worker_stop(worker, id, moved.epoch)).await;
                }
            };
            let wake = async {
                if moved.wakes_scheduler {
                    give("wake", queue.scheduler_wake(WakeCall::Settle)).await;
                    give("wake", queue.scheduler_wake(WakeCall::Slots)).await;
                }
            };
            tokio::join!(
                worker,
                wake,
                give("remove", queue.ready_remove(id, moved.owner_id, &moved.labels)),
                give("announce", queue.events_announce(id, moved.sequence)),
            );
        });
    }

    /// Tells all whom it concerns that a task was started or changed by its owner. If the word of another priority is lost, the
    /// queue goes by the one before.
    pub(crate) fn task_touched(&self, id: TaskId, owner: OwnerId, news: TaskNews) {
        let queue = self.queue.clone();
        self.track(async move {
            if let Some(labels) = &news.left_labels {
                give("remove", queue.ready_remove(id, owner, labels)).await;
            }
            if let Some(ready) = news.ready {
                give("ready", queue.ready_push(&[ready])).await;
            }
            if news.is_blocked {
                give("wake", queue.scheduler_wake(WakeCall::Settle)).await;
            }
            if news.slots_wanted {
                give("wake", queue.scheduler_wake(WakeCall::Slots)).await;
            }
            give("announce", queue.events_announce(id, news.sequence)).await;
        });
    }

    /// Tells a task's worker that there is a message to its agent.
    pub(crate) fn message_taken(&self, id: TaskId, taken: MessageTaken) {
        let MessageTaken { number, held_by, epoch } = taken;
        let Some(worker) = held_by else { return };
        let (queue, attempt) = (self.queue.clone(), OpenAttempt { task_id: id, epoch });
        self.track(async move { give("message", queue.worker_message(worker, attempt, number)).await });
    }

    /// Tells all whom it concerns that a task is gone: its worker first.
    pub(crate) fn task_deleted(&self, id: TaskId, owner: OwnerId, task: DeletedTask) {
        let queue = self.queue.clone();
        self.track(async move {
            if let Some(worker) = task.held_by {
                give("stop", queue.worker_stop(worker, id, task.epoch)).await;
            }
            give("remove", queue.ready_remove(id, owner, &task.labels)).await;
            if task.held_slot {
                give("wake", queue.scheduler_wake(WakeCall::Slots)).await;
            }
            give("announce", queue.events_announce(id, task.sequence)).await;
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

async fn give(hint: &'static str, work: impl Future<Output = Result<(), QueueError>>) {
    let problem = match tokio::time::timeout(PATIENCE, work).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => "Redis did not answer".to_owned(),
    };
    metrics::counter!(names::HINTS_LOST).increment(1);
    tracing::warn!(hint, problem, "a hint was lost; the scheduler makes up for it");
}
