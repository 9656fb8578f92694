//! One task with all that belongs to it.

use axum::extract::State;
use axum::response::Response;
use makima_shared::domain::LoopMode;
use makima_shared::store::TaskFilter;

use crate::auth::Owner;
use crate::error::{ErrorBody, ErrorResponse};
use crate::extract::{NoParams, Params, TaskPath};
use crate::openapi::Always;
use crate::state::AppState;
use crate::views::task::{TaskDetailView, TaskSummaryView, TaskView, attempt_counts};

/// How many parts of a task are shown with it.
const SUBTASKS: u32 = 50;

/// Show a task
///
/// With its dependencies, attempts, the newest 50 of its subtasks, its last checkpoint and, in words, why it does not
/// run now.
#[utoipa::path(
    get,
    path = "/api/v1/mesh/tasks/{id}",
    operation_id = "taskShow",
    tag = "tasks",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The task")),
    responses(
        (status = 200, description = "The task", body = TaskDetailView),
        (status = 400, description = "`INVALID_ID`", body = ErrorBody),
        (status = 404, description = "`TASK_NOT_FOUND`", body = ErrorBody),
        Always,
    )
)]
pub(crate) async fn show(
    State(state): State<AppState>,
    Owner(owner): Owner,
    TaskPath(id): TaskPath,
    _: Params<NoParams>,
) -> Result<Response, ErrorResponse> {
    let store = &state.store;
    let task = store.task_get(owner, id).await?.ok_or_else(|| ErrorResponse::task_not_found(id))?;
    let parts = TaskFilter { parent_task_id: Some(id), ..TaskFilter::default() };
    let subtasks = store.tasks_list(owner, &parts, SUBTASKS).await?;
    let attempts = store.attempts_list(owner, id).await?;
    let unfinished_rounds = match task.agent.loop_mode() {
        Some(_) => Some(store.loop_rounds_count(id, LoopMode::ROUND_CODE).await?),
        None => None,
    };
    let detail = TaskDetailView {
        unfinished_rounds,
        dependencies: store.task_dependencies(owner, id).await?,
        attempt_counts: attempt_counts(&attempts),
        attempts,
        subtasks: subtasks.tasks.into_iter().map(TaskSummaryView::from).collect(),
        last_checkpoint: store.checkpoint_last(owner, id).await?,
        waiting_for: store.task_waiting_for(owner, &task).await?,
        task: TaskView::from(task),
    };
    state.buffers.json(owner, &detail)
}
