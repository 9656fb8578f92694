//! Tasks, as clients see them.

use std::collections::BTreeMap;

use makima_shared::domain::{Attempt, Checkpoint, DependencyState, Task, TaskId, TaskSummary};
use makima_shared::store::TaskPage;
use serde::Serialize;
use utoipa::ToSchema;

/// A task.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskView {
    #[serde(flatten)]
    task: Task,
    /// The short form of the id, which the commands of the client take.
    short_id: String,
}

impl From<Task> for TaskView {
    fn from(task: Task) -> Self {
        Self { short_id: task.id.short(), task }
    }
}

/// A task with all that belongs to it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskDetailView {
    #[serde(flatten)]
    pub(crate) task: TaskView,
    /// What it depends on, 1,000 at most.
    pub(crate) dependencies: Vec<DependencyState>,
    /// Its attempts, oldest first, 1,000 at most.
    pub(crate) attempts: Vec<Attempt>,
    /// How many of those ended in which way.
    pub(crate) attempt_counts: BTreeMap<&'static str, usize>,
    /// The newest 50 of its parts; the list with `parentTaskId` has them all.
    pub(crate) subtasks: Vec<TaskSummaryView>,
    /// Its newest checkpoint.
    pub(crate) last_checkpoint: Option<Checkpoint>,
    /// In words, what it waits for; none if it runs or has ended.
    pub(crate) waiting_for: Option<String>,
    /// How many rounds of loop mode have left it unfinished since it was last started anew; none without loop mode.
    pub(crate) unfinished_rounds: Option<i64>,
}

/// Counts attempts by their outcomes; one that is open counts as none.
pub(crate) fn attempt_counts(attempts: &[Attempt]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for outcome in attempts.iter().filter_map(|attempt| attempt.outcome) {
        *counts.entry(outcome.as_str()).or_insert(0) += 1;
    }
    counts
}

/// A page of tasks, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskListView {
    /// The tasks.
    tasks: Vec<TaskSummaryView>,
    /// What to send as `cursor` for the next page; none on the last one.
    next_cursor: Option<TaskId>,
}

impl From<TaskPage> for TaskListView {
    fn from(page: TaskPage) -> Self {
        Self { tasks: page.tasks.into_iter().map(TaskSummaryView::from).collect(), next_cursor: page.next }
    }
}

/// A task in a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskSummaryView {
    #[serde(flatten)]
    task: TaskSummary,
    /// The short form of the id.
    short_id: String,
}

impl From<TaskSummary> for TaskSummaryView {
    fn from(task: TaskSummary) -> Self {
        Self { short_id: task.id.short(), task }
    }
}

/// Names tasks in words: their ids, what they are called and where they stand.
pub(crate) fn named(tasks: &[DependencyState]) -> String {
    let name = |task: &DependencyState| format!("{} ({}, {})", task.id, task.name, task.status);
    tasks.iter().map(name).collect::<Vec<_>>().join(", ")
}
