//! A worker without agents: a client of the store and the queue that carries tasks out at once.

use std::time::Duration;

use makima_shared::domain::{ClaimedTask, NewWorker, TaskResult, Transition, WorkerId};
use makima_shared::queue::Inbox;

use crate::fixture::{Fixture, HOUR};

/// Longer than any test runs: a worker that nobody rings hangs.
const PATIENCE: Duration = Duration::from_secs(3600);

pub(crate) struct Worker<'a> {
    f: &'a Fixture,
    pub(crate) id: WorkerId,
    inbox: Inbox,
}

impl<'a> Worker<'a> {
    pub(crate) async fn join(f: &'a Fixture) -> Self {
        let id = WorkerId::new();
        let worker = NewWorker {
            id,
            name: "w".to_owned(),
            host: "h".to_owned(),
            pid: 1,
            slots: 1,
            labels: Vec::new(),
        };
        f.store.worker_register(&worker, HOUR).await.unwrap();
        Self { f, id, inbox: f.queue.inbox(id) }
    }

    /// Asks for a task, and waits for the bell where there is none.
    pub(crate) async fn claim(&mut self) -> ClaimedTask {
        loop {
            let ids = self.f.queue.ready_claim(self.id, &[], 1).await.unwrap();
            if ids.is_empty() {
                self.inbox.next(PATIENCE).await.unwrap();
                continue;
            }
            if let Some(task) = self.f.store.tasks_claim(self.id, &ids).await.unwrap().pop() {
                return task;
            }
        }
    }

    /// Claims a task and starts its agent.
    pub(crate) async fn start(&mut self) -> ClaimedTask {
        let task = self.claim().await;
        self.f.apply(task.id, &Transition::started(task.epoch)).await;
        task
    }

    /// Carries one task out without a word to anybody, as a worker does whose hints were lost.
    pub(crate) async fn work_quietly(&mut self) -> ClaimedTask {
        let task = self.start().await;
        self.f.apply(task.id, &Transition::completed(task.epoch, TaskResult::default())).await;
        task
    }

    /// Carries one task out and tells those whom it concerns.
    pub(crate) async fn work(&mut self) -> String {
        let task = self.start().await;
        self.f.complete(&task).await;
        task.name
    }

    /// The worker's lease runs out.
    pub(crate) async fn expire(&self) {
        let expire = sqlx::query("UPDATE workers SET lease_expires_at = now() WHERE id = $1");
        expire.bind(self.id).execute(&self.f.pool).await.unwrap();
    }
}
