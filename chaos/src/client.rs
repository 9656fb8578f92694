//! The HTTP client of the load. It never retries by itself: each answer, and each missing one, is the load's to handle.

use std::time::Duration;

use anyhow::Context;
use makima_shared::domain::TaskId;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde_json::Value;

/// How long an answer may take before the request counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// The API, as each owner may use it.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    address: String,
    keys: Vec<HeaderValue>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// Returns the task that the answer names.
    pub(crate) fn task(&self) -> Option<TaskId> {
        self.body["id"].as_str()?.parse().ok()
    }

    /// Returns the code of the error that the answer names.
    pub(crate) fn code(&self) -> Option<String> {
        self.body["error"]["code"].as_str().map(str::to_owned)
    }
}

impl Client {
    /// Takes an address and the owners' keys.
    pub(crate) fn new(address: &str, keys: &[String]) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(PATIENCE).build()?;
        let mut values = Vec::new();
        for key in keys {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}"))?;
            value.set_sensitive(true);
            values.push(value);
        }
        Ok(Self { http, address: address.to_owned(), keys: values })
    }

    /// Tells whether the API, PostgreSQL and Redis are there.
    pub(crate) async fn is_ready(&self) -> bool {
        let answer = self.http.get(format!("http://{}/readyz", self.address)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Submits a task under a key.
    pub(crate) async fn submit(&self, owner: usize, key: &str, task: &Value) -> anyhow::Result<Answer> {
        let request = self.http.post(self.url("")).header("Idempotency-Key", key).json(task);
        self.send(owner, request).await
    }

    /// Asks for the end of a task.
    pub(crate) async fn stop(&self, owner: usize, task: TaskId) -> anyhow::Result<Answer> {
        self.send(owner, self.http.post(self.url(&format!("/{task}/stop")))).await
    }

    /// Makes a schedule.
    pub(crate) async fn schedule(&self, owner: usize, schedule: &Value) -> anyhow::Result<Answer> {
        let request = self.http.post(format!("http://{}/api/v1/schedules", self.address));
        self.send(owner, request.json(schedule)).await
    }

    /// Takes a schedule away; returns the status of the answer.
    pub(crate) async fn unschedule(&self, owner: usize, schedule: &str) -> anyhow::Result<u16> {
        let key = self.keys.get(owner).context("there is no such owner")?;
        let request = self.http.delete(format!("http://{}/api/v1/schedules/{schedule}", self.address));
        Ok(request.header(AUTHORIZATION, key.clone()).send().await?.status().as_u16())
    }

    /// Returns a task with all that belongs to it.
    pub(crate) async fn task(&self, owner: usize, task: TaskId) -> anyhow::Result<Answer> {
        self.send(owner, self.http.get(self.url(&format!("/{task}")))).await
    }

    /// Returns the bytes of a submission, for whoever sends them by hand, and the address to send them to.
    pub(crate) fn raw_submission(
        &self,
        owner: usize,
        key: &str,
        task: &Value,
    ) -> anyhow::Result<(String, Vec<u8>)> {
        let body = serde_json::to_string(task)?;
        let authorization = self.keys.get(owner).context("there is no such owner")?.to_str()?;
        let request = format!(
            "POST /api/v1/mesh/tasks HTTP/1.1\r\nHost: {}\r\nAuthorization: {authorization}\r\n\
             Idempotency-Key: {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        Ok((self.address.clone(), request.into_bytes()))
    }

    fn url(&self, rest: &str) -> String {
        format!("http://{}/api/v1/mesh/tasks{rest}", self.address)
    }

    async fn send(&self, owner: usize, request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
        let key = self.keys.get(owner).context("there is no such owner")?;
        let response = request.header(AUTHORIZATION, key.clone()).send().await?;
        let status = response.status().as_u16();
        Ok(Answer { status, body: response.json().await? })
    }
}
