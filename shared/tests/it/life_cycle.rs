//! Random lives: several workers, some of them stale, write at once, and the tables still tell a legal story.

use std::collections::HashMap;
use std::sync::Mutex;

use makima_shared::domain::{
    AttemptOutcome, CompletionStatus, EventKind, Failure, Reason, StatusChange, TaskId, TaskResult,
    TaskStatus, Transition, WorkerId, fold_statuses,
};
use makima_shared::store::{
    Applied, ChangeError, DeleteError, Fenced, OpenAttempt, StartOutcome, SubmitError,
};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::fixture::{AT_ONCE, Fixture, HOUR, agent_failure, checked, checkpoint, created, new_task, wide};

const WORKERS: usize = 3;
/// How many operations run at once.
const AT_A_TIME: usize = 3;

/// One thing that somebody does. Attempts are chosen among all that there ever were, so most are stale.
#[derive(Clone, Debug)]
enum Operation {
    Submit { parents: Vec<Index>, max_retries: i16, later: bool },
    Release,
    Claim { worker: usize, task: Index },
    Start(Index),
    Append(Index, usize),
    Checkpoint(Index),
    Complete { attempt: Index, merged: bool },
    Fail { attempt: Index, permanent: bool },
    HandBack(Index),
    Cancel(Index),
    Restart(Index),
    Rewire { task: Index, parents: Vec<Index> },
    Delete(Index),
    Lose { worker: usize },
    FailBlocked,
}

fn operation() -> impl Strategy<Value = Operation> {
    let index = any::<Index>;
    prop_oneof![
        4 => (prop::collection::vec(index(), 0..3), 0_i16..3, prop::bool::weighted(0.1))
            .prop_map(|(parents, max_retries, later)| Operation::Submit { parents, max_retries, later }),
        4 => Just(Operation::Release),
        8 => (0..WORKERS, index()).prop_map(|(worker, task)| Operation::Claim { worker, task }),
        6 => index().prop_map(Operation::Start),
        6 => (index(), 0_usize..4).prop_map(|(attempt, lines)| Operation::Append(attempt, lines)),
        3 => index().prop_map(Operation::Checkpoint),
        5 => (index(), any::<bool>())
            .prop_map(|(attempt, merged)| Operation::Complete { attempt, merged }),
        3 => (index(), prop::bool::weighted(0.1))
            .prop_map(|(attempt, permanent)| Operation::Fail { attempt, permanent }),
        2 => index().prop_map(Operation::HandBack),
        1 => index().prop_map(Operation::Cancel),
        3 => index().prop_map(Operation::Restart),
        2 => (index(), prop::collection::vec(index(), 0..3))
            .prop_map(|(task, parents)| Operation::Rewire { task, parents }),
        1 => index().prop_map(Operation::Delete),
        2 => (0..WORKERS).prop_map(|worker| Operation::Lose { worker }),
        1 => Just(Operation::FailBlocked),
    ]
}

/// What happened so far, as those who did it know.
struct World {
    f: Fixture,
    tasks: Mutex<Vec<TaskId>>,
    attempts: Mutex<Vec<OpenAttempt>>,
    workers: Mutex<Vec<WorkerId>>,
    /// Events that were taken, for each attempt: lines and checkpoints.
    taken: Mutex<HashMap<OpenAttempt, usize>>,
    /// Tasks that were seen at their end.
    ended: Mutex<HashMap<TaskId, TaskStatus>>,
    /// Tasks that somebody wanted to depend on others than they were made with.
    rewired: Mutex<Vec<TaskId>>,
}

fn pick<T: Copy>(from: &Mutex<Vec<T>>, index: Index) -> Option<T> {
    let all = from.lock().unwrap();
    if all.is_empty() { None } else { Some(*index.get(&all)) }
}

impl World {
    async fn new(pool: PgPool) -> Self {
        let f = Fixture::new(pool).await;
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            workers.push(f.worker().await);
        }
        Self {
            f,
            workers: Mutex::new(workers),
            tasks: Mutex::default(),
            attempts: Mutex::default(),
            taken: Mutex::default(),
            ended: Mutex::default(),
            rewired: Mutex::default(),
        }
    }

    async fn perform(&self, operation: Operation) {
        let store = &self.f.store;
        match operation {
            Operation::Submit { parents, max_retries, later } => {
                let parents: Vec<_> = parents.iter().filter_map(|index| pick(&self.tasks, *index)).collect();
                let run_at = later.then_some("2999-01-01T00:00:00Z");
                let body = json!({"dependsOn": parents, "maxRetries": max_retries, "runAt": run_at});
                self.submit(&body).await;
            }
            Operation::Release => drop(self.f.release().await),
            Operation::Claim { worker, task } => self.claim(worker, task).await,
            Operation::Start(attempt) => self.transition(attempt, |a| Transition::started(a.epoch)).await,
            Operation::Append(attempt, lines) => self.append(attempt, lines).await,
            Operation::Checkpoint(attempt) => self.checkpoint(attempt).await,
            Operation::Complete { attempt, merged } => {
                let mut result = TaskResult::default();
                if merged {
                    result.completion.status = CompletionStatus::Merged;
                }
                self.transition(attempt, |a| Transition::completed(a.epoch, result)).await;
            }
            Operation::Fail { attempt, permanent } => {
                if let Some(attempt) = pick(&self.attempts, attempt) {
                    self.fail(attempt, Failure { permanent, ..agent_failure() }).await;
                }
            }
            Operation::HandBack(attempt) => {
                self.transition(attempt, |a| Transition::handed_back(a.epoch)).await;
            }
            Operation::Cancel(task) => {
                if let Some(task) = pick(&self.tasks, task) {
                    let _ = store.task_transition(task, &Transition::cancelled()).await.unwrap();
                }
            }
            Operation::Restart(task) => self.restart(task).await,
            Operation::Rewire { task, parents } => self.rewire(task, &parents).await,
            Operation::Delete(task) => self.delete(task).await,
            Operation::Lose { worker } => self.lose(worker).await,
            Operation::FailBlocked => drop(self.f.fail_blocked().await),
        }
    }

    async fn submit(&self, changes: &Value) {
        match self.f.store.task_submit(self.f.owner, &new_task(changes), None).await {
            Ok(submitted) => self.tasks.lock().unwrap().push(created(submitted).id),
            // Deleted at the same time.
            Err(SubmitError::DependencyNotFound(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    async fn restart(&self, index: Index) {
        let Some(task) = pick(&self.tasks, index) else { return };
        let outcome = self.f.store.task_start(self.f.owner, task).await.unwrap();
        if matches!(outcome, Some(StartOutcome::Started(_))) {
            self.ended.lock().unwrap().remove(&task);
        }
    }

    async fn rewire(&self, task: Index, parents: &[Index]) {
        let Some(task) = pick(&self.tasks, task) else { return };
        let parents: Vec<_> = parents.iter().filter_map(|index| pick(&self.tasks, *index)).collect();
        let Some(row) = self.f.store.task_get(self.f.owner, task).await.unwrap() else { return };
        let changes = checked(json!({"version": row.version, "dependsOn": parents}));
        // Claims of earlier attempts may stand before the end of a parent that it has got since.
        self.rewired.lock().unwrap().push(task);
        if let Err(ChangeError::Store(error)) = self.f.store.task_change(self.f.owner, task, &changes).await {
            panic!("{error}");
        }
    }

    async fn delete(&self, index: Index) {
        let Some(task) = pick(&self.tasks, index) else { return };
        match self.f.store.task_delete(self.f.owner, task).await {
            Ok(_) => self.tasks.lock().unwrap().retain(|other| *other != task),
            Err(DeleteError::NotFound | DeleteError::HasDependents(_)) => {}
            Err(DeleteError::Store(error)) => panic!("{error}"),
        }
    }

    async fn transition(&self, index: Index, make: impl FnOnce(OpenAttempt) -> Transition) {
        if let Some(attempt) = pick(&self.attempts, index) {
            let _ = self.f.store.task_transition(attempt.task_id, &make(attempt)).await.unwrap();
        }
    }

    async fn claim(&self, worker: usize, task: Index) {
        let (Some(task), worker) = (pick(&self.tasks, task), self.workers.lock().unwrap()[worker]) else {
            return;
        };
        for claimed in self.f.store.tasks_claim(worker, &[task]).await.unwrap() {
            let attempt = OpenAttempt { task_id: claimed.id, epoch: claimed.epoch };
            self.attempts.lock().unwrap().push(attempt);
        }
    }

    async fn append(&self, index: Index, lines: usize) {
        let Some(attempt) = pick(&self.attempts, index) else { return };
        let data = vec![json!({"text": "x"}); lines];
        let OpenAttempt { task_id, epoch } = attempt;
        if let Fenced::Accepted(_) =
            self.f.store.events_append(task_id, epoch, EventKind::Output, &data).await.unwrap()
        {
            *self.taken.lock().unwrap().entry(attempt).or_default() += lines;
        }
    }

    async fn checkpoint(&self, index: Index) {
        let Some(attempt) = pick(&self.attempts, index) else { return };
        let saved = checkpoint(b"x");
        let stored = self.f.store.checkpoint_create(attempt.task_id, attempt.epoch, &saved, HOUR).await;
        if let Fenced::Accepted(_) = stored.unwrap() {
            *self.taken.lock().unwrap().entry(attempt).or_default() += 1;
        }
    }

    async fn fail(&self, attempt: OpenAttempt, failure: Failure) {
        let Some(task) = self.f.store.task_get(self.f.owner, attempt.task_id).await.unwrap() else { return };
        let failed =
            Transition::attempt_failed(attempt.epoch, failure, task.retry_count, task.max_retries, &AT_ONCE);
        // A stale attempt may judge by figures of another epoch; the fence refuses it before they matter.
        let _: Applied = self.f.store.task_transition(attempt.task_id, &failed).await.unwrap();
    }

    /// The worker's lease ends, its tasks are rescued, and it comes back under another id. Its attempts write on.
    async fn lose(&self, slot: usize) {
        let fresh = self.f.worker().await;
        let lost = std::mem::replace(&mut self.workers.lock().unwrap()[slot], fresh);
        self.f.store.worker_end(lost).await.unwrap();
        for attempt in self.f.store.attempts_lost(100).await.unwrap() {
            let failure = Failure {
                outcome: AttemptOutcome::WorkerLost,
                reason: Reason::new("WORKER_LOST", "its lease ran out"),
                exit_code: None,
                permanent: false,
                exclude: Some(attempt.worker_id),
            };
            self.fail(OpenAttempt { task_id: attempt.task_id, epoch: attempt.epoch }, failure).await;
        }
    }

    /// Invariant 5, as it goes along: only a restart leads out of an end.
    async fn assert_terminal_is_final(&self) {
        let tasks = self.tasks.lock().unwrap().clone();
        for task in tasks {
            let status = self.f.status(task).await;
            let mut ended = self.ended.lock().unwrap();
            if status.is_terminal() {
                assert_eq!(*ended.entry(task).or_insert(status), status, "{task}");
            } else {
                assert!(!ended.contains_key(&task), "{task} came back as {status}");
            }
        }
    }

    /// Invariants 3, 4 and 5, from the tables alone but for the count of what was taken.
    async fn assert_legal_history(&self, task: TaskId) {
        let (row, events) = (self.f.task(task).await, self.f.history(task).await);
        assert_eq!(fold_statuses(&events), Ok(Some(row.status)), "{events:#?}");
        assert_eq!(row.last_sequence, i64::try_from(events.len()).unwrap());
        let mut status = TaskStatus::Pending;
        let mut taken: HashMap<OpenAttempt, usize> = HashMap::new();
        for event in &events {
            match event.kind {
                EventKind::Status => status = StatusChange::deserialize(&event.data).unwrap().to,
                EventKind::Output | EventKind::Checkpoint => {
                    assert!(status.is_active(), "event {} was taken while {status}", event.sequence);
                    *taken.entry(OpenAttempt { task_id: task, epoch: event.epoch }).or_default() += 1;
                }
                EventKind::Notice => {}
            }
        }
        let told = self.taken.lock().unwrap().clone();
        let told = told.iter().filter(|(attempt, lines)| attempt.task_id == task && **lines > 0);
        assert_eq!(taken, told.map(|(attempt, lines)| (*attempt, *lines)).collect());

        let attempts = self.f.store.attempts_list(self.f.owner, task).await.unwrap();
        assert!(attempts.iter().map(|attempt| attempt.epoch.number()).eq(1..=row.epoch.number()));
        let open: Vec<_> = attempts.iter().filter(|attempt| attempt.ended_at.is_none()).collect();
        assert_eq!(open.len(), usize::from(row.status.is_active()));
        assert!(open.iter().all(|attempt| attempt.epoch == row.epoch));
        assert_eq!(row.finished_at.is_some(), row.status.is_terminal());
        assert!(row.retry_count <= row.max_retries && i64::from(row.retry_count) <= row.epoch.number());
    }

    /// Invariant 7: no claim stands before the end of a parent, and each way from `pending` to `queued` is one event.
    async fn assert_dependencies_were_kept(&self) {
        let rewired = self.rewired.lock().unwrap().clone();
        let tasks = self.tasks.lock().unwrap().clone();
        let as_made: Vec<Uuid> =
            tasks.iter().filter(|task| !rewired.contains(task)).map(|task| task.uuid()).collect();
        let early: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM task_dependencies d
             JOIN task_events c ON c.task_id = d.task_id AND c.data->>'to' = 'starting'
             WHERE d.task_id = ANY($1) AND NOT EXISTS (
                SELECT FROM task_events p
                WHERE p.task_id = d.depends_on_task_id AND p.data->>'to' IN ('done', 'merged') AND p.created_at <= c.created_at)",
        )
        .bind(as_made)
        .fetch_one(&self.f.pool)
        .await
        .unwrap();
        assert_eq!(early, 0);
    }
}

async fn live(pool: PgPool, operations: Vec<Operation>) {
    let world = World::new(pool).await;
    for together in operations.chunks(AT_A_TIME) {
        let mut running = together.iter().map(|operation| world.perform(operation.clone()));
        let (one, two, three) = (running.next(), running.next(), running.next());
        tokio::join!(maybe(one), maybe(two), maybe(three));
        world.assert_terminal_is_final().await;
    }
    let tasks = world.tasks.lock().unwrap().clone();
    for task in tasks {
        world.assert_legal_history(task).await;
    }
    world.assert_dependencies_were_kept().await;
    world.f.assert_dependencies_are_counted().await;
}

/// Checks that the lives together went through all that these operations can lead to.
async fn assert_lives_were_full(pool: &PgPool) {
    let seen = sqlx::query_scalar(
        "SELECT array_agg(DISTINCT word ORDER BY word)
         FROM (SELECT outcome::text AS word FROM attempts WHERE ended_at IS NOT NULL
               UNION SELECT data->>'transition' FROM task_events WHERE kind = 'status') AS words",
    );
    let seen: Vec<String> = seen.fetch_one(pool).await.unwrap();
    let all = [
        "agent_failed",
        "cancelled",
        "claimed",
        "completed",
        "dependency_failed",
        "expedited",
        "gave_up",
        "handed_back",
        "released",
        "restarted",
        "retried",
        "started",
        "submitted",
        "worker_lost",
    ];
    assert!(all.iter().all(|word| seen.iter().any(|other| other == word)), "{seen:?}");
}

async fn maybe(operation: Option<impl Future<Output = ()>>) {
    if let Some(operation) = operation {
        operation.await;
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn no_order_of_operations_breaks_an_invariant(pool: PgPool) {
    let wide = wide(&pool);
    let (runtime, lives) = (Handle::current(), wide.clone());
    // proptest is synchronous: it gets a thread, and each case runs on the test's runtime.
    let tested = spawn_blocking(move || {
        let config =
            Config { cases: 32, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
        let operations = prop::collection::vec(operation(), 20..90);
        TestRunner::new(config).run(&operations, |operations| {
            runtime.block_on(live(lives.clone(), operations));
            Ok(())
        })
    });
    if let Err(failure) = tested.await.unwrap() {
        panic!("{failure}");
    }
    assert_lives_were_full(&wide).await;
    wide.close().await;
}
