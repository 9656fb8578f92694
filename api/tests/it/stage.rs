//! What the tests act on: an API with an owner and a key, and a worker made by hand.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use makima_api::{AppState, app};
use makima_shared::domain::{
    Epoch, EventKind, NewWorker, OwnerId, SubmissionPolicy, TaskId, TaskResult, Transition, WorkerId,
};
use makima_shared::queue::Queue;
use makima_shared::store::{Applied, Fenced, Store};
use makima_shared::testing;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub(crate) const TASKS: &str = "/api/v1/mesh/tasks";

/// An API and a key to it.
pub(crate) struct Stage {
    pub(crate) state: AppState,
    pub(crate) store: Store,
    pub(crate) queue: Queue,
    pub(crate) owner: OwnerId,
    pub(crate) key: String,
    pub(crate) shutdown: CancellationToken,
    pub(crate) app: Router,
}

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The status and the code of an error.
    pub(crate) fn error(&self) -> (u16, String) {
        let json = self.json();
        let code = json["error"]["code"].as_str().unwrap_or_else(|| panic!("no error: {json}"));
        assert!(json["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{json}");
        (self.status.as_u16(), code.to_owned())
    }

    /// The fields that an error names.
    pub(crate) fn fields(&self) -> Vec<String> {
        let fields = self.json()["error"]["fields"].as_array().cloned().unwrap_or_default();
        fields.iter().map(|entry| entry["field"].as_str().unwrap().to_owned()).collect()
    }
}

/// A task that can be submitted.
pub(crate) fn submission(name: &str) -> Value {
    json!({
        "name": name,
        "plan": "do it",
        "repositoryUrl": "https://example.org/a.git",
        "agent": {"kind": "command", "argv": ["true"]},
    })
}

impl Stage {
    pub(crate) async fn new(pool: PgPool) -> Self {
        Self::over(testing::store(&pool), &testing::redis_url()).await
    }

    /// An API whose Redis does not exist.
    pub(crate) async fn without_redis(pool: PgPool) -> Self {
        Self::over(testing::store(&pool), "redis://127.0.0.1:1").await
    }

    /// An API over that store.
    pub(crate) async fn over(store: Store, redis_url: &str) -> Self {
        let owner = store.owner_ensure("first").await.unwrap();
        let key = store.api_key_create(owner, "test").await.unwrap();
        let queue = Queue::open(redis_url, &format!("test-{}", TaskId::new())).unwrap();
        let shutdown = CancellationToken::new();
        let policy = SubmissionPolicy { allow_local_repositories: false };
        let state = AppState::new(store.clone(), queue.clone(), policy, shutdown.clone()).unwrap();
        state.start_background();
        Self { app: app(state.clone()), state, store, queue, owner, key, shutdown }
    }

    /// Makes another owner and returns a key of theirs.
    pub(crate) async fn strangers_key(&self) -> String {
        let owner = self.store.owner_ensure("second").await.unwrap();
        self.store.api_key_create(owner, "test").await.unwrap()
    }

    /// Sends a request as it is and returns the answer with its body still open.
    pub(crate) async fn open(&self, request: Request<Body>) -> axum::response::Response {
        self.app.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.open(request).await.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: head.status, headers: head.headers, body }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> axum::http::request::Builder {
        Request::builder().method(method).uri(path).header("authorization", format!("Bearer {}", self.key))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_raw(path, body.to_string()).await
    }

    pub(crate) async fn post_raw(&self, path: &str, body: impl Into<Body>) -> Answer {
        let request = self.request("POST", path).header("content-type", "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Submits a task and returns its id.
    pub(crate) async fn submit(&self, body: &Value) -> TaskId {
        let answer = self.post(TASKS, body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) async fn worker(&self, name: &str) -> WorkerId {
        self.worker_that_offers(name, &[]).await
    }

    pub(crate) async fn worker_that_offers(&self, name: &str, labels: &[&str]) -> WorkerId {
        let id = WorkerId::new();
        let worker = NewWorker {
            id,
            name: name.to_owned(),
            host: "host".to_owned(),
            pid: 1,
            slots: 4,
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        };
        self.store.worker_register(&worker, Duration::from_secs(600)).await.unwrap();
        id
    }

    /// Claims a task and starts it, as a worker does.
    pub(crate) async fn start(&self, worker: WorkerId, task: TaskId) -> Epoch {
        let claimed = self.store.tasks_claim(worker, &[task]).await.unwrap();
        let epoch = claimed.first().expect("the task can be claimed").epoch;
        self.transition(task, &Transition::started(epoch)).await;
        epoch
    }

    /// Appends lines of output and spreads the word, as a worker does.
    pub(crate) async fn write(&self, task: TaskId, epoch: Epoch, lines: &[String]) {
        let data: Vec<_> = lines.iter().map(|line| json!({"stream": "stdout", "text": line})).collect();
        let written = self.store.events_append(task, epoch, EventKind::Output, &data).await.unwrap();
        let Fenced::Accepted(sequence) = written else { panic!("the attempt is stale") };
        // Redis may be away in a test; a worker does not mind either.
        let _ = self.queue.events_announce(task, sequence).await;
    }

    pub(crate) async fn complete(&self, task: TaskId, epoch: Epoch) {
        self.transition(task, &Transition::completed(epoch, TaskResult::default())).await;
    }

    pub(crate) async fn transition(&self, task: TaskId, transition: &Transition) {
        let applied = self.store.task_transition(task, transition).await.unwrap();
        let Applied::Moved(moved) = applied else { panic!("refused: {transition:?}") };
        let _ = self.queue.events_announce(task, moved.sequence).await;
    }
}
