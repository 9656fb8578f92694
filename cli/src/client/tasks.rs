//! What the API can be asked about tasks and workers.

use std::fs::File;
use std::io::Write;

use makima_shared::domain::{
    Attempt, Checkpoint, DependencyState, Overview, Task, TaskChanges, TaskId, TaskStatus, TaskSubmission,
    TaskSummary, Worker,
};
use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Client, ClientError};

/// The most tasks that one answer holds.
const PAGE: u32 = 200;
/// The most lines that one answer holds.
const LINES: u32 = 1000;

/// Tasks as the API tells them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskList {
    pub(crate) tasks: Vec<Value>,
    #[serde(default)]
    pub(crate) next_cursor: Option<String>,
}

/// A page of an agent's output.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OutputPage {
    /// The lines as the API tells them.
    pub(crate) lines: Vec<Value>,
    /// Where the next page begins.
    pub(crate) next_after: i64,
    /// There was output before this page that is deleted by now.
    #[serde(default)]
    pub(crate) pruned: bool,
}

/// Which tasks to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskQuery {
    pub(crate) status: Option<TaskStatus>,
    pub(crate) search: Option<String>,
    pub(crate) id_suffix: Option<String>,
    pub(crate) limit: u32,
}

/// A task with everything around it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskDetail {
    #[serde(flatten)]
    pub(crate) task: Task,
    #[serde(default)]
    pub(crate) dependencies: Vec<DependencyState>,
    #[serde(default)]
    pub(crate) attempts: Vec<Attempt>,
    #[serde(default)]
    pub(crate) subtasks: Vec<TaskSummary>,
    #[serde(default)]
    pub(crate) last_checkpoint: Option<Checkpoint>,
    #[serde(default)]
    pub(crate) waiting_for: Option<String>,
    #[serde(default)]
    pub(crate) unfinished_rounds: Option<i64>,
}

#[derive(Deserialize)]
struct BulkAnswer {
    ids: Vec<TaskId>,
}

#[derive(Deserialize)]
struct CheckpointList {
    checkpoints: Vec<Checkpoint>,
}

#[derive(Deserialize)]
struct WorkerList {
    workers: Vec<Worker>,
}

impl Client {
    /// Submits a task. The key makes it safe to send it again after a passing failure, which this does.
    pub(crate) async fn submit(
        &self,
        submission: &TaskSubmission,
        idempotency_key: &str,
    ) -> Result<Value, ClientError> {
        let request = || {
            self.request(Method::POST, &["mesh", "tasks"], &[])
                .header("Idempotency-Key", idempotency_key)
                .json(submission)
        };
        self.json_retrying(request).await
    }

    /// Submits many tasks, all or none. The key makes it safe to send them again after a passing failure, which this does.
    pub(crate) async fn submit_bulk(
        &self,
        tasks: &[Value],
        idempotency_key: &str,
    ) -> Result<Vec<TaskId>, ClientError> {
        let body = json!({ "tasks": tasks });
        let request = || {
            self.request(Method::POST, &["mesh", "tasks", "bulk"], &[])
                .header("Idempotency-Key", idempotency_key)
                .json(&body)
        };
        let answer: BulkAnswer = self.json_retrying(request).await?;
        Ok(answer.ids)
    }

    /// Lists tasks, from as many pages as the limit takes.
    pub(crate) async fn tasks(&self, query: &TaskQuery) -> Result<TaskList, ClientError> {
        let mut list = TaskList { tasks: Vec::new(), next_cursor: None };
        loop {
            let missing = query.limit.saturating_sub(u32::try_from(list.tasks.len()).unwrap_or(u32::MAX));
            let part = TaskQuery { limit: missing.min(PAGE), ..query.clone() };
            let page = self.tasks_page(&part, list.next_cursor.as_deref()).await?;
            list.tasks.extend(page.tasks);
            list.next_cursor = page.next_cursor;
            if missing <= PAGE || list.next_cursor.is_none() {
                return Ok(list);
            }
        }
    }

    /// Lists one page of tasks.
    pub(crate) async fn tasks_page(
        &self,
        query: &TaskQuery,
        cursor: Option<&str>,
    ) -> Result<TaskList, ClientError> {
        self.json(self.tasks_request(query, cursor)).await
    }

    fn tasks_request(&self, query: &TaskQuery, cursor: Option<&str>) -> RequestBuilder {
        let mut pairs = vec![("limit", query.limit.to_string())];
        pairs.extend(query.status.map(|status| ("status", status.to_string())));
        pairs.extend(query.search.clone().map(|text| ("q", text)));
        pairs.extend(query.id_suffix.clone().map(|suffix| ("idSuffix", suffix)));
        pairs.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        self.request(Method::GET, &["mesh", "tasks"], &pairs)
    }

    /// Reads tasks of a list.
    pub(crate) fn read_summaries(&self, tasks: Vec<Value>) -> Result<Vec<TaskSummary>, ClientError> {
        self.read(Value::Array(tasks))
    }

    /// Returns what a task's agent wrote behind the event of a number.
    pub(crate) async fn output(&self, task: TaskId, after: i64) -> Result<OutputPage, ClientError> {
        let query = [("after", after.to_string()), ("limit", LINES.to_string())];
        let id = task.to_string();
        self.json_retrying(|| self.request(Method::GET, &["mesh", "tasks", &id, "output"], &query)).await
    }

    /// Returns a task as the API tells it.
    pub(crate) async fn task_json(&self, task: TaskId) -> Result<Value, ClientError> {
        let id = task.to_string();
        self.json_retrying(|| self.request(Method::GET, &["mesh", "tasks", &id], &[])).await
    }

    /// Returns a task.
    pub(crate) async fn task(&self, task: TaskId) -> Result<TaskDetail, ClientError> {
        self.read(self.task_json(task).await?)
    }

    /// Asks for the end of a task.
    pub(crate) async fn stop(&self, task: TaskId) -> Result<Value, ClientError> {
        self.json(self.request(Method::POST, &["mesh", "tasks", &task.to_string(), "stop"], &[])).await
    }

    /// Says something to a task's agent. It is not sent again after a passing failure: the agent would hear it twice.
    pub(crate) async fn say(&self, task: TaskId, text: &str) -> Result<Value, ClientError> {
        let request = self.request(Method::POST, &["mesh", "tasks", &task.to_string(), "message"], &[]);
        self.json(request.json(&json!({ "text": text }))).await
    }

    /// Starts a task at once, or again.
    pub(crate) async fn start(&self, task: TaskId) -> Result<Value, ClientError> {
        self.json(self.request(Method::POST, &["mesh", "tasks", &task.to_string(), "start"], &[])).await
    }

    /// Has the completion action of a task repeated.
    pub(crate) async fn retry_completion(&self, task: TaskId) -> Result<Value, ClientError> {
        let id = task.to_string();
        self.json(self.request(Method::POST, &["mesh", "tasks", &id, "retry-completion"], &[])).await
    }

    /// Changes a task, and returns it as the API tells it.
    pub(crate) async fn change(&self, task: TaskId, changes: &TaskChanges) -> Result<Value, ClientError> {
        let request = self.request(Method::PUT, &["mesh", "tasks", &task.to_string()], &[]);
        self.json(request.json(changes)).await
    }

    /// Deletes a task.
    pub(crate) async fn delete(&self, task: TaskId) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &["mesh", "tasks", &task.to_string()], &[]);
        self.bytes(request).await.map(|_nothing| ())
    }

    /// Returns the checkpoints of a task as the API tells them.
    pub(crate) async fn checkpoints_json(&self, task: TaskId) -> Result<Value, ClientError> {
        self.json(self.request(Method::GET, &["mesh", "tasks", &task.to_string(), "checkpoints"], &[])).await
    }

    /// Reads a list of checkpoints.
    pub(crate) fn read_checkpoints(&self, json: Value) -> Result<Vec<Checkpoint>, ClientError> {
        self.read(json).map(|CheckpointList { checkpoints }| checkpoints)
    }

    /// Returns the patch of a checkpoint.
    pub(crate) async fn checkpoint_patch(&self, task: TaskId, number: i32) -> Result<Vec<u8>, ClientError> {
        self.bytes(self.patch_request(task, number)).await
    }

    /// Writes the patch of a checkpoint into a file, piece by piece.
    pub(crate) async fn checkpoint_patch_to(
        &self,
        task: TaskId,
        number: i32,
        file: &mut File,
    ) -> anyhow::Result<()> {
        let mut answer = self.send(self.patch_request(task, number)).await?;
        while let Some(piece) = self.next_piece(&mut answer).await? {
            file.write_all(&piece)?;
        }
        Ok(())
    }

    fn patch_request(&self, task: TaskId, number: i32) -> RequestBuilder {
        let (task, number) = (task.to_string(), number.to_string());
        let path = ["mesh", "tasks", &task, "checkpoints", &number, "patch"];
        self.request(Method::GET, &path, &[("format", "text".to_owned())])
    }

    /// Returns the workers as the API tells them.
    pub(crate) async fn workers_json(&self) -> Result<Value, ClientError> {
        self.json(self.request(Method::GET, &["mesh", "workers"], &[])).await
    }

    /// Reads a list of workers.
    pub(crate) fn read_workers(&self, json: Value) -> Result<Vec<Worker>, ClientError> {
        self.read(json).map(|WorkerList { workers }| workers)
    }

    /// Returns how much there is to do, as the API tells it.
    pub(crate) async fn overview_json(&self) -> Result<Value, ClientError> {
        self.json(self.request(Method::GET, &["mesh", "overview"], &[])).await
    }

    /// Returns how much there is to do.
    pub(crate) async fn overview(&self) -> Result<Overview, ClientError> {
        self.read(self.overview_json().await?)
    }

    /// Opens the stream of a task's events behind a number, which ends where nothing but a person moves the task on.
    pub(super) async fn stream(&self, task: TaskId, after: i64) -> Result<Response, ClientError> {
        let request = self
            .request(
                Method::GET,
                &["mesh", "tasks", &task.to_string(), "stream"],
                &[("untilHeld", "true".to_owned())],
            )
            .header("Accept", "text/event-stream")
            .header("Last-Event-ID", after);
        self.send(request).await
    }

    /// Reads the API's JSON.
    pub(crate) fn read<T: DeserializeOwned>(&self, json: Value) -> Result<T, ClientError> {
        serde_json::from_value(json).map_err(|source| self.unknown(source))
    }
}
