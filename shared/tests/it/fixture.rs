//! An owner, workers, and tasks at any place of their life.

use std::time::Duration;

use makima_shared::domain::{
    AttemptOutcome, CheckedChanges, CheckpointTrigger, EventKind, Failure, NewCheckpoint, NewTask, NewWorker,
    OwnerId, Reason, RetryPolicy, SubmissionPolicy, Task, TaskChanges, TaskEvent, TaskId, TaskResult,
    TaskStatus, TaskSubmission, Transition, WorkerId, fold_statuses,
};
use makima_shared::store::{
    AcceptedTask, Applied, ChangeError, Fenced, Move, Moved, OpenAttempt, ReadyTask, StartOutcome, Store,
    Submitted, TaskNews,
};
use makima_shared::testing;
use serde_json::{Value, json};
use sqlx::PgPool;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// No rest between tries.
pub(crate) const AT_ONCE: RetryPolicy = RetryPolicy { base_delay: Duration::ZERO, max_delay: Duration::ZERO };

/// The body of a submission: the smallest one, with changes.
pub(crate) fn new_task(changes: &Value) -> NewTask {
    let mut body = json!({
        "name": "tidy up", "plan": "tidy up", "repositoryUrl": "https://host/a.git",
        "agent": {"kind": "command", "argv": ["true"]},
    });
    for (key, value) in changes.as_object().unwrap() {
        body[key] = value.clone();
    }
    let submission: TaskSubmission = serde_json::from_value(body).unwrap();
    submission.check(&SubmissionPolicy { allow_local_repositories: false }).unwrap()
}

/// A change of a task whose fields can all be taken.
pub(crate) fn checked(body: Value) -> CheckedChanges {
    let changes: TaskChanges = serde_json::from_value(body).unwrap();
    changes.check(&SubmissionPolicy { allow_local_repositories: false }).unwrap()
}

/// A failure of the agent that may be tried again.
pub(crate) fn agent_failure() -> Failure {
    Failure {
        outcome: AttemptOutcome::AgentFailed,
        reason: Reason::new("AGENT_FAILED", "exit code 1"),
        exit_code: Some(1),
        permanent: false,
        exclude: None,
    }
}

/// A small checkpoint.
pub(crate) fn checkpoint(patch: &[u8]) -> NewCheckpoint {
    NewCheckpoint {
        trigger: CheckpointTrigger::Interval,
        message: None,
        base_commit: "a".repeat(40),
        tree_id: "b".repeat(40),
        files_changed: 1,
        lines_added: 2,
        lines_removed: 3,
        patch_gzip: patch.to_vec(),
        unpacked_bytes: 100,
        sha256: [7; 32],
        commits: None,
        duration_ms: 4,
    }
}

/// What a transition that must be applied did.
pub(crate) fn moved(applied: Applied) -> Moved {
    match applied {
        Applied::Moved(moved) => moved,
        Applied::Refused => panic!("the transition was refused"),
    }
}

/// What a write that must be taken returned.
pub(crate) fn accepted<T>(fenced: Fenced<T>) -> T {
    match fenced {
        Fenced::Accepted(value) => value,
        Fenced::Stale => panic!("the write was refused"),
    }
}

/// The one task that a submission made.
pub(crate) fn created(submitted: Submitted) -> AcceptedTask {
    match submitted {
        Submitted::Created(mut tasks) if tasks.len() == 1 => tasks.remove(0),
        other @ (Submitted::Created(_) | Submitted::Repeated(_)) => panic!("{other:?} is not one new task"),
    }
}

/// A store over more connections than a test has by itself, for real concurrency.
pub(crate) fn wide(pool: &PgPool) -> PgPool {
    let options = pool.options().clone().max_connections(16);
    options.connect_lazy_with(pool.connect_options().as_ref().clone())
}

/// A store with one owner.
pub(crate) struct Fixture {
    pub(crate) pool: PgPool,
    pub(crate) store: Store,
    pub(crate) owner: OwnerId,
}

impl Fixture {
    pub(crate) async fn new(pool: PgPool) -> Self {
        let store = testing::store(&pool);
        let owner = store.owner_ensure(&OwnerId::new().to_string()).await.unwrap();
        Self { pool, store, owner }
    }

    pub(crate) async fn submit(&self, changes: Value) -> TaskId {
        let submitted = self.store.task_submit(self.owner, &new_task(&changes), None).await.unwrap();
        created(submitted).id
    }

    pub(crate) async fn worker_with_lease(&self, lease: Duration) -> WorkerId {
        self.worker_that_offers(&[], lease).await
    }

    pub(crate) async fn worker_that_offers(&self, labels: &[&str], lease: Duration) -> WorkerId {
        let worker = NewWorker {
            id: WorkerId::new(),
            name: "w".to_owned(),
            host: "h".to_owned(),
            pid: 1,
            slots: 2,
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        };
        self.store.worker_register(&worker, lease).await.unwrap();
        worker.id
    }

    pub(crate) async fn worker(&self) -> WorkerId {
        self.worker_with_lease(HOUR).await
    }

    /// Claims a queued task.
    pub(crate) async fn claim(&self, worker: WorkerId, task: TaskId) -> OpenAttempt {
        let claimed = self.store.tasks_claim(worker, &[task]).await.unwrap();
        assert_eq!(claimed.len(), 1, "{task} was not to be had");
        OpenAttempt { task_id: task, epoch: claimed[0].epoch }
    }

    /// Brings a queued task to `running` on a worker of its own.
    pub(crate) async fn run(&self, task: TaskId) -> OpenAttempt {
        let attempt = self.claim(self.worker().await, task).await;
        self.apply(task, &Transition::started(attempt.epoch)).await;
        attempt
    }

    pub(crate) async fn complete(&self, attempt: OpenAttempt) {
        let done = Transition::completed(attempt.epoch, TaskResult::default());
        self.apply(attempt.task_id, &done).await;
    }

    /// Fails an attempt with `failure` and no rest.
    pub(crate) async fn fail(&self, attempt: OpenAttempt, failure: Failure) -> Moved {
        let task = self.task(attempt.task_id).await;
        let failed =
            Transition::attempt_failed(attempt.epoch, failure, task.retry_count, task.max_retries, &AT_ONCE);
        self.apply(attempt.task_id, &failed).await
    }

    /// What the queue should know.
    pub(crate) async fn queued(&self) -> Vec<ReadyTask> {
        let begin = (chrono::DateTime::UNIX_EPOCH, TaskId::from(uuid::Uuid::nil()));
        self.store.tasks_queued(begin, 0, 1000).await.unwrap()
    }

    /// Completes attempts in one statement, and returns the tasks that this released.
    pub(crate) async fn complete_all(&self, attempts: &[OpenAttempt]) -> Vec<TaskId> {
        let moves: Vec<_> = attempts
            .iter()
            .map(|attempt| Move {
                task: attempt.task_id,
                transition: Transition::completed(attempt.epoch, TaskResult::default()),
            })
            .collect();
        let all = self.store.tasks_transition(&moves).await.unwrap();
        assert!(all.applied.iter().all(|applied| matches!(applied, Applied::Moved(_))));
        all.released.into_iter().map(|task| task.id).collect()
    }

    /// Releases what only waited for its time, or for the scheduler to tell it of a parent's end.
    pub(crate) async fn release(&self) -> Vec<TaskId> {
        let parents = self.store.tasks_children_waiting(1000).await.unwrap();
        let settled = self.store.children_release(&parents, 10_000).await.unwrap();
        self.store.parents_settled(&parents).await.unwrap();
        let promoted = self.store.tasks_promote_due(1000).await.unwrap();
        settled.released.into_iter().chain(promoted.released).map(|task| task.id).collect()
    }

    /// Fails the children of tasks that can no longer be done, and returns them.
    pub(crate) async fn fail_blocked(&self) -> Vec<TaskId> {
        let parents = self.store.tasks_children_waiting(1000).await.unwrap();
        let blocked = self.store.children_blocked(&parents, 1000).await.unwrap();
        for (task, message) in &blocked {
            let failed = Transition::dependency_failed(message.clone());
            let _ = self.store.task_transition(*task, &failed).await.unwrap();
        }
        self.store.parents_settled(&parents).await.unwrap();
        blocked.into_iter().map(|(task, _)| task).collect()
    }

    /// Starts a task that can be started, and returns what others hear of it.
    pub(crate) async fn start(&self, task: TaskId) -> TaskNews {
        match self.store.task_start(self.owner, task).await.unwrap() {
            Some(StartOutcome::Started(news)) => news,
            other @ (None | Some(_)) => panic!("{other:?}"),
        }
    }

    /// Changes a task as it stands.
    pub(crate) async fn change(&self, task: TaskId, changes: Value) -> Result<Option<TaskNews>, ChangeError> {
        let mut body = changes;
        body["version"] = json!(self.task(task).await.version);
        self.store.task_change(self.owner, task, &checked(body)).await
    }

    /// The names of a task's transitions and the codes of its notices, in order.
    pub(crate) async fn story(&self, task: TaskId) -> Vec<String> {
        let told = |event: TaskEvent| {
            let word = event.data.get("transition").or(event.data.get("code"))?;
            Some(word.as_str().unwrap().to_owned())
        };
        self.history(task).await.into_iter().filter_map(told).collect()
    }

    /// Checks that every count of open dependencies is what the edges say, and that no mark was forgotten.
    pub(crate) async fn assert_dependencies_are_counted(&self) {
        let wrong: Vec<String> = sqlx::query_scalar(
            "SELECT t.id || ' counts ' || coalesce(t.undone_parents::text, 'nothing') FROM tasks t
             WHERE t.undone_parents IS DISTINCT FROM
                   (SELECT count(*) FROM task_dependencies d WHERE d.task_id = t.id AND NOT d.satisfied)
             UNION ALL
             SELECT p.id || ' counts too few children' FROM tasks p
             WHERE p.open_children <
                   (SELECT count(*) FROM task_dependencies d WHERE d.depends_on_task_id = p.id AND NOT d.satisfied)
             UNION ALL
             SELECT p.id || ' has children that were not told' FROM tasks p
             WHERE NOT p.children_waiting AND p.finished_at IS NOT NULL AND EXISTS (
                SELECT FROM task_dependencies d JOIN tasks c ON c.id = d.task_id
                WHERE d.depends_on_task_id = p.id AND NOT d.satisfied AND c.status = 'pending')",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// Applies a transition that must be taken.
    pub(crate) async fn apply(&self, task: TaskId, transition: &Transition) -> Moved {
        moved(self.store.task_transition(task, transition).await.unwrap())
    }

    pub(crate) async fn task(&self, task: TaskId) -> Task {
        self.store.task_get(self.owner, task).await.unwrap().unwrap()
    }

    pub(crate) async fn status(&self, task: TaskId) -> TaskStatus {
        self.task(task).await.status
    }

    pub(crate) async fn history(&self, task: TaskId) -> Vec<TaskEvent> {
        self.store.events_list(self.owner, task, 0, 100_000, None).await.unwrap().unwrap()
    }

    /// Appends one line of output that must be taken.
    pub(crate) async fn output(&self, attempt: OpenAttempt) -> i64 {
        let line = [json!({"stream": "stdout", "text": "hello"})];
        let appended =
            self.store.events_append(attempt.task_id, attempt.epoch, EventKind::Output, &line).await;
        accepted(appended.unwrap())
    }

    /// Checks that the stored events lead to the stored status, and are counted right.
    pub(crate) async fn assert_history_gives_status(&self, task: TaskId) {
        let (row, events) = (self.task(task).await, self.history(task).await);
        assert_eq!(fold_statuses(&events), Ok(Some(row.status)), "{events:#?}");
        assert_eq!(row.last_sequence, i64::try_from(events.len()).unwrap());
    }

    /// Everything that is stored of a task, to be compared.
    pub(crate) async fn rows(&self, task: TaskId) -> Value {
        let rows = sqlx::query_scalar(
            "SELECT jsonb_build_object(
                'task', (SELECT to_jsonb(t) FROM tasks t WHERE id = $1),
                'attempts', (SELECT jsonb_agg(a ORDER BY epoch) FROM attempts a WHERE task_id = $1),
                'events', (SELECT jsonb_agg(e ORDER BY sequence) FROM task_events e WHERE task_id = $1),
                'checkpoints', (SELECT jsonb_agg(c ORDER BY number) FROM task_checkpoints c WHERE task_id = $1),
                'patches', (SELECT count(*) FROM checkpoint_patches WHERE task_id = $1))",
        );
        rows.bind(task.uuid()).fetch_one(&self.pool).await.unwrap()
    }
}
