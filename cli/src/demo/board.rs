//! What is known of the tasks while they run. Pure: events in, rows out.

use chrono::{DateTime, Utc};
use makima_shared::domain::{EventKind, StatusChange, TaskEvent, TaskStatus, WorkerId};
use serde::Deserialize;
use serde_json::Value;

use super::graph::{Part, PerPart};
use crate::client::TaskDetail;
use crate::render::one_line;

/// Of the lines that an agent writes, one in so many is told where the table cannot move.
const TOLD_EVERY: usize = 25;

/// Where a task stands.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) status: TaskStatus,
    /// The worker of the newest attempt.
    pub(crate) worker: Option<(WorkerId, String)>,
    pub(crate) epoch: i64,
    /// The number of the newest checkpoint.
    pub(crate) checkpoint: i32,
    /// How far the agent says that it is, and of how much.
    pub(crate) progress: Option<(usize, usize)>,
    /// What the agent said last.
    pub(crate) said: String,
    /// Where the agent of the first attempt works.
    pub(crate) workspace: Option<String>,
    /// How many lines the agent of a later attempt found when it began.
    pub(crate) found: Option<usize>,
    /// Its worker is dead, and its lease ends then.
    pub(crate) orphaned_until: Option<DateTime<Utc>>,
}

impl Row {
    fn new() -> Self {
        Self {
            status: TaskStatus::Pending,
            worker: None,
            epoch: 0,
            checkpoint: 0,
            progress: None,
            said: String::new(),
            workspace: None,
            found: None,
            orphaned_until: None,
        }
    }
}

/// All tasks.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    pub(crate) rows: PerPart<Row>,
}

impl Board {
    /// Nothing has happened yet.
    pub(crate) fn new() -> Self {
        Self { rows: PerPart::new(|_| Row::new()) }
    }

    /// Takes what the API says of a task beside its events.
    pub(crate) fn learn(&mut self, part: Part, detail: &TaskDetail) {
        let newest = detail.attempts.last();
        self.rows.of_mut(part).worker =
            newest.map(|attempt| (attempt.worker_id, one_line(&attempt.worker_name)));
    }

    /// Takes an event and returns what to tell of it where there is no table.
    pub(crate) fn apply(&mut self, part: Part, event: &TaskEvent) -> Option<String> {
        let row = self.rows.of_mut(part);
        row.epoch = row.epoch.max(event.epoch.number());
        match event.kind {
            EventKind::Status => row.move_to(event),
            EventKind::Output => row.hear(event),
            EventKind::Checkpoint => {
                row.checkpoint = i32::try_from(number(&event.data, "number")).unwrap_or_default();
                let (added, files) = (number(&event.data, "linesAdded"), number(&event.data, "filesChanged"));
                let (lines, files) = (count(added, "line"), count(files, "file"));
                Some(format!("checkpoint {}: {lines} in {files}", row.checkpoint))
            }
            EventKind::Notice => {
                row.said = one_line(text(&event.data, "message"));
                Some(row.said.clone())
            }
        }
    }
}

impl Row {
    fn move_to(&mut self, event: &TaskEvent) -> Option<String> {
        let change = StatusChange::deserialize(&event.data).ok()?;
        self.status = change.to;
        if change.from == Some(TaskStatus::Running) {
            self.orphaned_until = None;
        }
        let worker = self.worker.as_ref().map(|(_, name)| name.as_str()).unwrap_or_default();
        Some(match change.to {
            TaskStatus::Starting => format!("starting on {worker}, attempt {}", self.epoch),
            TaskStatus::Running => format!("running on {worker}, attempt {}", self.epoch),
            TaskStatus::Pending
            | TaskStatus::Queued
            | TaskStatus::Paused
            | TaskStatus::Interrupted
            | TaskStatus::Done
            | TaskStatus::Merged
            | TaskStatus::Failed
            | TaskStatus::Cancelled => match one_line(text(&event.data, "message")).as_str() {
                "" => change.to.to_string(),
                message => format!("{}: {message}", change.to),
            },
        })
    }

    fn hear(&mut self, event: &TaskEvent) -> Option<String> {
        let line = one_line(text(&event.data, "text"));
        if let Some(path) = line.strip_prefix("working in ") {
            if event.epoch.number() == 1 {
                self.workspace = Some(path.to_owned());
            }
            return None;
        }
        if let Some(rest) = line.strip_prefix("found ") {
            self.found = rest.split_once(' ').and_then(|(count, _)| count.parse().ok());
        }
        let progress = progress(&line);
        let told =
            progress.is_none_or(|(done, all)| all < TOLD_EVERY || done == all || done % TOLD_EVERY == 0);
        self.progress = progress.or(self.progress);
        self.said.clone_from(&line);
        told.then_some(line)
    }
}

/// Reads `[3/10]` at the start of a line.
fn progress(line: &str) -> Option<(usize, usize)> {
    let (done, all) = line.strip_prefix('[')?.split_once(']')?.0.split_once('/')?;
    Some((done.parse().ok()?, all.parse().ok()?))
}

/// Returns a number with its word: `1 line`, `2 lines`.
pub(crate) fn count(number: i64, word: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {word}{ending}")
}

fn text<'a>(data: &'a Value, field: &str) -> &'a str {
    data[field].as_str().unwrap_or_default()
}

fn number(data: &Value, field: &str) -> i64 {
    data[field].as_i64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use makima_shared::domain::Epoch;
    use serde_json::json;

    use super::*;

    fn event(kind: EventKind, epoch: i64, data: Value) -> TaskEvent {
        TaskEvent { sequence: 1, epoch: Epoch::from(epoch), kind, data, created_at: DateTime::UNIX_EPOCH }
    }

    #[test]
    fn output_moves_the_row_and_is_told_now_and_then() {
        let mut board = Board::new();
        let mut say = |epoch, text: &str| {
            board.apply(Part::Backend, &event(EventKind::Output, epoch, json!({"text": text})))
        };
        assert_eq!(say(1, "working in /w/tree"), None);
        assert_eq!(say(1, "[7/120] wrote line 7"), None);
        assert_eq!(say(1, "[50/120] wrote line 50").as_deref(), Some("[50/120] wrote line 50"));
        assert!(say(2, "found 41 lines, goes on with line 42").is_some());
        let row = board.rows.of(Part::Backend);
        assert_eq!((row.progress, row.found, row.epoch), (Some((50, 120)), Some(41), 2));
        assert_eq!(row.workspace.as_deref(), Some("/w/tree"));
    }

    #[test]
    fn a_change_of_status_is_told_with_its_reason() {
        let mut board = Board::new();
        let change =
            json!({"transition": "retried", "from": "running", "to": "pending", "message": "it is gone"});
        let told = board.apply(Part::Plan, &event(EventKind::Status, 1, change));
        assert_eq!(told.as_deref(), Some("pending: it is gone"));
        assert_eq!(board.rows.of(Part::Plan).status, TaskStatus::Pending);
    }
}
