//! The HTTP client of the measurements: no retries, so that each figure is of one request.

mod events;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use makima_shared::domain::{BulkSubmission, TaskEvent, TaskId, TaskStatus, TaskSubmission, Worker};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{RequestBuilder, Response};
use serde::Deserialize;

use events::{Incoming, Parser};

use crate::timeline::history;

/// The content of `client.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClientFile {
    url: String,
    api_key: String,
}

impl ClientFile {
    /// Reads the file; none if it is not there yet.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }
}

#[derive(Deserialize)]
struct Created {
    id: TaskId,
}

#[derive(Deserialize)]
struct CreatedMany {
    ids: Vec<TaskId>,
}

#[derive(Deserialize)]
struct Fleet {
    workers: Vec<Worker>,
}

/// A task's history, once it is over.
pub(crate) struct History {
    /// Everything that happened.
    pub(crate) events: Vec<TaskEvent>,
    /// When the event that ended the task arrived here.
    pub(crate) end_seen: Instant,
}

/// The API of the stack. Clones share their connections.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    base: String,
}

impl Api {
    /// Takes an address and a key. Nothing is sent yet.
    pub(crate) fn new(client: ClientFile) -> anyhow::Result<Self> {
        let mut key = HeaderValue::from_str(&format!("Bearer {}", client.api_key))?;
        key.set_sensitive(true);
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .tcp_nodelay(true)
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, key)]))
            .build()?;
        Ok(Self { http, base: client.url.trim_end_matches('/').to_owned() })
    }

    /// Sends an empty request and reads its answer to the end.
    pub(crate) async fn healthz(&self) -> anyhow::Result<()> {
        send(self.get("/healthz")).await?.bytes().await?;
        Ok(())
    }

    /// Tells whether PostgreSQL and Redis are there.
    pub(crate) async fn is_ready(&self) -> bool {
        send(self.get("/readyz")).await.is_ok()
    }

    /// Returns how many workers hold a lease.
    pub(crate) async fn workers_alive(&self) -> anyhow::Result<usize> {
        let body = send(self.get("/api/v1/mesh/workers")).await?.bytes().await?;
        let fleet: Fleet = serde_json::from_slice(&body).context("the list of workers cannot be read")?;
        Ok(fleet.workers.iter().filter(|worker| worker.alive).count())
    }

    /// Submits a task and reads the whole answer.
    pub(crate) async fn submit(&self, task: &TaskSubmission) -> anyhow::Result<TaskId> {
        let request = self.http.post(format!("{}/api/v1/mesh/tasks", self.base)).json(task);
        let body = send(request).await?.bytes().await?;
        let created: Created = serde_json::from_slice(&body).context("the answer names no task")?;
        Ok(created.id)
    }

    /// Submits many tasks in one request and returns their ids in order.
    pub(crate) async fn submit_bulk(&self, tasks: &[TaskSubmission]) -> anyhow::Result<Vec<TaskId>> {
        let request = self.http.post(format!("{}/api/v1/mesh/tasks/bulk", self.base));
        let body = send(request.json(&BulkSubmission { tasks: tasks.to_vec() })).await?.bytes().await?;
        let created: CreatedMany = serde_json::from_slice(&body).context("the answer names no tasks")?;
        Ok(created.ids)
    }

    /// Follows a task's event stream to its end, which must be `done`.
    pub(crate) async fn follow(&self, task: TaskId) -> anyhow::Result<History> {
        let request = self.get(&format!("/api/v1/mesh/tasks/{task}/stream"));
        let mut response = send(request.header("Accept", "text/event-stream")).await?;
        let (mut parser, mut events, mut end_seen) = (Parser::default(), Vec::new(), None);
        while let Some(chunk) = response.chunk().await? {
            let arrived = Instant::now();
            for incoming in parser.push(&chunk)? {
                match incoming {
                    Incoming::Event(event) => {
                        if event.data["to"] == TaskStatus::Done.as_str() {
                            end_seen = Some(arrived);
                        }
                        events.push(event);
                    }
                    Incoming::End(TaskStatus::Done) => {
                        let end_seen =
                            end_seen.context("the stream ended without the event that ends the task")?;
                        return Ok(History { events, end_seen });
                    }
                    Incoming::End(status) => bail!("task {task} ended {status}:\n{}", history(&events)),
                }
            }
        }
        bail!("the event stream of task {task} broke off");
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }
}

async fn send(request: RequestBuilder) -> anyhow::Result<Response> {
    let response = request.send().await?;
    let status = response.status();
    if !status.is_success() {
        bail!("the API answered {status}: {}", response.text().await.unwrap_or_default());
    }
    Ok(response)
}
