//! A database, a queue and schedulers over them.

use std::time::Duration;

use makima_shared::config::{RetentionConfig, SchedulerConfig};
use makima_shared::domain::{
    ClaimedTask, OwnerId, RetryPolicy, SubmissionPolicy, Task, TaskId, TaskResult, TaskStatus,
    TaskSubmission, Transition, fold_statuses,
};
use makima_shared::queue::{Queue, WakeCall};
use makima_shared::store::{Applied, Move, Store, Submitted};
use makima_shared::testing;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// Looks often, rests never.
pub(crate) const EAGER: SchedulerConfig = SchedulerConfig {
    lease: Duration::from_millis(600),
    sweep: Duration::from_millis(50),
    exclusion_grace: Duration::ZERO,
    quarantine: HOUR,
    retry: RetryPolicy { base_delay: Duration::ZERO, max_delay: Duration::ZERO },
    retention: RetentionConfig { output: HOUR, idempotency_keys: HOUR },
};
/// Looks once at the start and then only when it is called, as far as a test can tell.
pub(crate) const CALLED: SchedulerConfig = SchedulerConfig { lease: HOUR, sweep: HOUR, ..EAGER };

/// A scheduler that runs.
pub(crate) struct Scheduler {
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl Scheduler {
    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap();
    }

    /// Ends it wherever it stands, as a crash would: the lead is not given up.
    pub(crate) async fn crash(self) {
        self.running.abort();
        assert!(self.running.await.is_err());
    }
}

/// A store with one owner, and a queue under a random prefix.
pub(crate) struct Fixture {
    pub(crate) pool: PgPool,
    pub(crate) store: Store,
    pub(crate) queue: Queue,
    pub(crate) owner: OwnerId,
    prefix: String,
}

impl Fixture {
    pub(crate) async fn new(pool: PgPool) -> Self {
        // Word of every move, so that a test waits for it and not for a time.
        let trigger = "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_notify('moves', ''); RETURN NULL; END $$;
            CREATE TRIGGER tell AFTER UPDATE OF status ON tasks EXECUTE FUNCTION tell();
            CREATE TRIGGER tell AFTER INSERT OR UPDATE OF holder ON leader_leases EXECUTE FUNCTION tell();
            CREATE TRIGGER tell AFTER INSERT OR DELETE ON schedule_runs EXECUTE FUNCTION tell();";
        sqlx::raw_sql(trigger).execute(&pool).await.unwrap();
        let options = pool.options().clone().max_connections(16);
        let pool = options.connect_lazy_with(pool.connect_options().as_ref().clone());
        let store = testing::store(&pool);
        let prefix = format!("test-{}", Uuid::now_v7().simple());
        let queue = Queue::open(&testing::redis_url(), &prefix).unwrap();
        let owner = store.owner_ensure("owner").await.unwrap();
        Self { pool, store, queue, owner, prefix }
    }

    pub(crate) fn schedule(&self, config: &SchedulerConfig) -> Scheduler {
        self.schedule_over(config, self.queue.clone())
    }

    pub(crate) fn schedule_over(&self, config: &SchedulerConfig, queue: Queue) -> Scheduler {
        let shutdown = CancellationToken::new();
        let run = makima_scheduler::run(config.clone(), self.store.clone(), queue, shutdown.clone());
        Scheduler { shutdown, running: tokio::spawn(run) }
    }

    /// A queue whose Redis is not there.
    pub(crate) fn queue_without_redis(&self) -> Queue {
        Queue::open("redis+unix:///nowhere/redis.sock", &self.prefix).unwrap()
    }

    /// Submits as the API does: commit first, hint after.
    pub(crate) async fn submit(&self, name: &str, depends_on: &[TaskId], changes: Value) -> TaskId {
        let mut body = json!({
            "name": name, "plan": "x", "repositoryUrl": "https://host/a.git", "dependsOn": depends_on,
            "agent": {"kind": "command", "argv": ["true"]},
        });
        for (key, value) in changes.as_object().unwrap() {
            body[key] = value.clone();
        }
        let submission: TaskSubmission = serde_json::from_value(body).unwrap();
        let task = submission.check(&SubmissionPolicy { allow_local_repositories: false }).unwrap();
        let Submitted::Created(tasks) = self.store.task_submit(self.owner, &task, None).await.unwrap() else {
            panic!("submitted before");
        };
        let ready: Vec<_> = tasks.iter().filter_map(|task| task.ready.clone()).collect();
        self.queue.ready_push(&ready).await.unwrap();
        tasks[0].id
    }

    /// Submits a task whose time has come since: it waits for the scheduler alone.
    pub(crate) async fn submit_due(&self, name: &str) -> TaskId {
        let task = self.submit(name, &[], json!({"runAt": "2999-01-01T00:00:00Z"})).await;
        let due = sqlx::query("UPDATE tasks SET not_before = now() WHERE id = $1");
        due.bind(task).execute(&self.pool).await.unwrap();
        task
    }

    /// Completes an attempt as a worker does: the store first, then the hints.
    pub(crate) async fn complete(&self, task: &ClaimedTask) {
        let transition = Transition::completed(task.epoch, TaskResult::default());
        let all = self.store.tasks_transition(&[Move { task: task.id, transition }]).await.unwrap();
        let Applied::Moved(moved) = &all.applied[0] else { panic!("refused") };
        self.queue.ready_push(&all.released).await.unwrap();
        if moved.wakes_scheduler {
            self.queue.scheduler_wake(WakeCall::Settle).await.unwrap();
        }
        if moved.wakes_scheduler || all.slots_wanted {
            self.queue.scheduler_wake(WakeCall::Slots).await.unwrap();
        }
    }

    /// Moves a task by a transition that must be taken.
    pub(crate) async fn apply(&self, task: TaskId, transition: &Transition) {
        let applied = self.store.task_transition(task, transition).await.unwrap();
        assert!(matches!(applied, Applied::Moved(_)), "{transition:?}");
    }

    pub(crate) async fn task(&self, task: TaskId) -> Task {
        self.store.task_get(self.owner, task).await.unwrap().unwrap()
    }

    /// Waits until a task stands where it should.
    pub(crate) async fn until(&self, task: TaskId, status: TaskStatus) {
        let mut moves = self.moves().await;
        while self.task(task).await.status != status {
            moves.recv().await.unwrap();
        }
    }

    /// Waits until somebody leads, and returns who.
    pub(crate) async fn until_led(&self) -> Uuid {
        let mut moves = self.moves().await;
        loop {
            if let Some(leader) = self.leader().await {
                return leader;
            }
            moves.recv().await.unwrap();
        }
    }

    /// Waits until this one leads.
    pub(crate) async fn until_led_by(&self, leader: Uuid) {
        let mut moves = self.moves().await;
        while self.leader().await != Some(leader) {
            moves.recv().await.unwrap();
        }
    }

    pub(crate) async fn leader(&self) -> Option<Uuid> {
        let holder = sqlx::query_scalar("SELECT holder FROM leader_leases");
        holder.fetch_optional(&self.pool).await.unwrap()
    }

    pub(crate) async fn moves(&self) -> PgListener {
        let mut listener = PgListener::connect_with(&self.pool).await.unwrap();
        listener.listen("moves").await.unwrap();
        listener
    }

    /// The names of a task's transitions, in order.
    pub(crate) async fn story(&self, task: TaskId) -> Vec<String> {
        let events = self.store.events_list(self.owner, task, 0, 1000, None).await.unwrap().unwrap();
        assert_eq!(fold_statuses(&events), Ok(Some(self.task(task).await.status)));
        events
            .iter()
            .filter_map(|event| event.data["transition"].as_str().or(event.data["code"].as_str()))
            .map(str::to_owned)
            .collect()
    }

    /// Loses all that the queue has in Redis, as FLUSHALL would. Returns how many keys there were.
    pub(crate) async fn lose_redis(&self) -> usize {
        testing::redis_lose(&self.prefix).await
    }
}
