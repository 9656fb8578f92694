//! The list of tasks, newest first.

use axum::Json;
use axum::extract::State;
use makima_shared::domain::{ContractId, TaskId, TaskStatus};
use makima_shared::store::TaskFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::auth::Owner;
use crate::error::ErrorResponse;
use crate::extract::{Params, check_limit};
use crate::openapi::Always;
use crate::state::AppState;
use crate::views::task::TaskListView;

/// Which tasks to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListParams {
    /// Only tasks that stand here.
    status: Option<TaskStatus>,
    /// Only parts of this task.
    parent_task_id: Option<TaskId>,
    /// Only parts of this contract.
    contract_id: Option<ContractId>,
    /// Only tasks whose name holds this text, in any letter case.
    #[param(min_length = 1, max_length = 200)]
    q: Option<String>,
    /// Only tasks whose id ends with these hexadecimal digits, as a `shortId` does.
    #[param(min_length = 1, max_length = 32, pattern = "^[0-9a-fA-F]+$")]
    id_suffix: Option<String>,
    /// How many tasks a page holds; 50 if none.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `nextCursor` of the page before.
    cursor: Option<String>,
}

/// List tasks, newest first
#[utoipa::path(
    get,
    path = "/api/v1/mesh/tasks",
    operation_id = "taskList",
    tag = "tasks",
    security(("bearer" = [])),
    params(ListParams),
    responses((status = 200, description = "A page of tasks", body = TaskListView), Always)
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    Owner(owner): Owner,
    Params(params): Params<ListParams>,
) -> Result<Json<TaskListView>, ErrorResponse> {
    let limit = check_limit(params.limit, 50, 200)?;
    let page = state.store.tasks_list(owner, &params.filter()?, limit).await?;
    Ok(Json(TaskListView::from(page)))
}

impl ListParams {
    fn filter(self) -> Result<TaskFilter, ErrorResponse> {
        if let Some(text) = &self.q
            && (text.is_empty() || text.chars().count() > 200 || text.contains('\0'))
        {
            return Err(ErrorResponse::field("q", "must have 1 to 200 characters and no NUL"));
        }
        if let Some(digits) = &self.id_suffix
            && (!(1..=32).contains(&digits.len()) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        {
            return Err(ErrorResponse::field("idSuffix", "must be 1 to 32 hexadecimal digits"));
        }
        let before = self.cursor.map(|cursor| cursor.parse());
        let before = before
            .transpose()
            .map_err(|_no_cursor| ErrorResponse::field("cursor", "is no nextCursor of a page before"))?;
        Ok(TaskFilter {
            status: self.status,
            parent_task_id: self.parent_task_id,
            contract_id: self.contract_id,
            text: self.q,
            id_suffix: self.id_suffix.map(|digits| digits.to_ascii_lowercase()),
            before,
        })
    }
}
