//! Short ids: any suffix of at least four hexadecimal digits that only one task, or one schedule, of the owner has.

use std::fmt::Display;

use makima_shared::domain::{ScheduleId, TaskId};
use uuid::Uuid;

use super::{Client, ClientError, TaskQuery};
use crate::render::one_line;

const MIN_DIGITS: usize = 4;
const ALL_DIGITS: usize = 32;
/// How many candidates an error names.
const CANDIDATES: u32 = 5;

/// What a person typed for an id.
#[derive(Debug, PartialEq, Eq)]
enum TypedId {
    Whole(Uuid),
    Suffix(String),
}

impl Client {
    /// Finds the task that somebody means.
    pub(crate) async fn resolve(&self, text: &str) -> Result<TaskId, ClientError> {
        let suffix = match parse(text)? {
            TypedId::Whole(id) => return Ok(id.into()),
            TypedId::Suffix(suffix) => suffix,
        };
        let query = TaskQuery { id_suffix: Some(suffix.clone()), limit: CANDIDATES, ..TaskQuery::default() };
        let tasks = self.read_summaries(self.tasks_page(&query, None).await?.tasks)?;
        only_one("task", suffix, tasks.into_iter().map(|task| (task.id, task.name)).collect())
    }

    /// Finds the schedule that somebody means.
    pub(crate) async fn resolve_schedule(&self, text: &str) -> Result<ScheduleId, ClientError> {
        let suffix = match parse(text)? {
            TypedId::Whole(id) => return Ok(id.into()),
            TypedId::Suffix(suffix) => suffix,
        };
        let page = self.schedules_page(CANDIDATES, Some(&suffix), None).await?;
        let schedules = self.read_schedules(page.schedules)?;
        let found = schedules.into_iter().map(|schedule| (schedule.id, schedule.name)).collect();
        only_one("schedule", suffix, found)
    }

    /// Finds several tasks.
    pub(crate) async fn resolve_all(&self, texts: &[String]) -> Result<Vec<TaskId>, ClientError> {
        let mut ids = Vec::with_capacity(texts.len());
        for text in texts {
            ids.push(self.resolve(text).await?);
        }
        Ok(ids)
    }
}

fn only_one<T: Display + Copy>(
    what: &'static str,
    suffix: String,
    found: Vec<(T, String)>,
) -> Result<T, ClientError> {
    match found.as_slice() {
        [] => Err(ClientError::IdUnknown { what, suffix }),
        [(id, _name)] => Ok(*id),
        several => {
            let candidates = several.iter().map(|(id, name)| format!("{id} ({})", one_line(name))).collect();
            Err(ClientError::IdAmbiguous { what, suffix, candidates })
        }
    }
}

fn parse(text: &str) -> Result<TypedId, ClientError> {
    let malformed = || ClientError::IdMalformed(text.chars().take(80).collect());
    let digits: String = text.trim().chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase();
    if !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(malformed());
    }
    match digits.len() {
        ALL_DIGITS => digits.parse().map(TypedId::Whole).map_err(|_not_reached| malformed()),
        MIN_DIGITS..ALL_DIGITS => Ok(TypedId::Suffix(digits)),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_ids_and_suffixes_are_told_apart() {
        let id = TaskId::new();
        assert_eq!(parse(&id.to_string()).unwrap(), TypedId::Whole(id.uuid()));
        assert_eq!(parse(&id.uuid().simple().to_string()).unwrap(), TypedId::Whole(id.uuid()));
        assert_eq!(parse(" 1A2B ").unwrap(), TypedId::Suffix("1a2b".to_owned()));
        assert_eq!(parse(&id.short()).unwrap(), TypedId::Suffix(id.short()));
    }

    #[test]
    fn too_short_too_long_and_other_words_are_refused() {
        for text in ["", "abc", "build", "1a2b%", &"0".repeat(33)] {
            assert!(matches!(parse(text), Err(ClientError::IdMalformed(_))), "{text}");
        }
    }
}
