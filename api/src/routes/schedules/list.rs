//! The list of schedules, newest first.

use axum::Json;
use axum::extract::State;
use makima_shared::store::ScheduleFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::auth::Owner;
use crate::error::ErrorResponse;
use crate::extract::{Params, check_limit};
use crate::openapi::Always;
use crate::state::AppState;
use crate::views::schedule::ScheduleListView;

/// Which schedules to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ListParams {
    /// Only schedules whose id ends with these hexadecimal digits, as a `shortId` does.
    #[param(min_length = 1, max_length = 32, pattern = "^[0-9a-fA-F]+$")]
    id_suffix: Option<String>,
    /// How many schedules a page holds; 50 if none.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The `nextCursor` of the page before.
    cursor: Option<String>,
}

/// List schedules, newest first
#[utoipa::path(
    get,
    path = "/api/v1/schedules",
    operation_id = "scheduleList",
    tag = "schedules",
    security(("bearer" = [])),
    params(ListParams),
    responses((status = 200, description = "A page of schedules", body = ScheduleListView), Always)
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    Owner(owner): Owner,
    Params(params): Params<ListParams>,
) -> Result<Json<ScheduleListView>, ErrorResponse> {
    let limit = check_limit(params.limit, 50, 200)?;
    let page = state.store.schedules_list(owner, &params.filter()?, limit).await?;
    Ok(Json(ScheduleListView::from(page)))
}

impl ListParams {
    fn filter(self) -> Result<ScheduleFilter, ErrorResponse> {
        if let Some(digits) = &self.id_suffix
            && (!(1..=32).contains(&digits.len()) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        {
            return Err(ErrorResponse::field("idSuffix", "must be 1 to 32 hexadecimal digits"));
        }
        let before = self.cursor.map(|cursor| cursor.parse());
        let before = before
            .transpose()
            .map_err(|_no_cursor| ErrorResponse::field("cursor", "is no nextCursor of a page before"))?;
        Ok(ScheduleFilter { id_suffix: self.id_suffix.map(|digits| digits.to_ascii_lowercase()), before })
    }
}
