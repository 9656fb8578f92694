//! What the API can be asked about schedules.

use makima_shared::domain::{Schedule, ScheduleId, ScheduleRun, ScheduleSubmission, ScheduleSummary};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Client, ClientError};

/// The most schedules that one answer holds.
const PAGE: u32 = 200;

/// Schedules as the API tells them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ScheduleList {
    pub(crate) schedules: Vec<Value>,
    #[serde(default)]
    pub(crate) next_cursor: Option<String>,
}

/// A schedule with what came of its due times.
#[derive(Debug, Deserialize)]
pub(crate) struct ScheduleDetail {
    #[serde(flatten)]
    pub(crate) schedule: Schedule,
    #[serde(default)]
    pub(crate) runs: Vec<ScheduleRun>,
}

impl Client {
    /// Makes a schedule.
    pub(crate) async fn schedule_create(&self, schedule: &ScheduleSubmission) -> Result<Value, ClientError> {
        self.json(self.request(Method::POST, &["schedules"], &[]).json(schedule)).await
    }

    /// Lists schedules, from as many pages as the limit takes.
    pub(crate) async fn schedules(&self, limit: u32) -> Result<ScheduleList, ClientError> {
        let mut list = ScheduleList { schedules: Vec::new(), next_cursor: None };
        loop {
            let missing = limit.saturating_sub(u32::try_from(list.schedules.len()).unwrap_or(u32::MAX));
            let page = self.schedules_page(missing.min(PAGE), None, list.next_cursor.as_deref()).await?;
            list.schedules.extend(page.schedules);
            list.next_cursor = page.next_cursor;
            if missing <= PAGE || list.next_cursor.is_none() {
                return Ok(list);
            }
        }
    }

    /// Lists one page of schedules.
    pub(super) async fn schedules_page(
        &self,
        limit: u32,
        id_suffix: Option<&str>,
        cursor: Option<&str>,
    ) -> Result<ScheduleList, ClientError> {
        let mut query = vec![("limit", limit.to_string())];
        query.extend(id_suffix.map(|suffix| ("idSuffix", suffix.to_owned())));
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        self.json(self.request(Method::GET, &["schedules"], &query)).await
    }

    /// Reads schedules of a list.
    pub(crate) fn read_schedules(&self, schedules: Vec<Value>) -> Result<Vec<ScheduleSummary>, ClientError> {
        self.read(Value::Array(schedules))
    }

    /// Returns a schedule as the API tells it.
    pub(crate) async fn schedule_json(&self, schedule: ScheduleId) -> Result<Value, ClientError> {
        self.json(self.request(Method::GET, &["schedules", &schedule.to_string()], &[])).await
    }

    /// Deletes a schedule.
    pub(crate) async fn schedule_delete(&self, schedule: ScheduleId) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &["schedules", &schedule.to_string()], &[]);
        self.bytes(request).await.map(|_nothing| ())
    }
}
