//! Evidence made by hand, for the checks' own tests.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use makima_shared::domain::{AttemptOutcome, Epoch, EventKind, TaskEvent, TaskId, TaskStatus};
use serde_json::{Value, json};
use sqlx::types::Uuid;

use crate::evidence::{
    AttemptRow, Evidence, History, Leftovers, Note, Noted, Results, TaskRow, Windows, Witness,
};
use crate::ledger::{AskedTask, Entry, Fact};
use crate::load::Kind;

/// A moment of the staged run, in seconds.
pub(super) fn at(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_000_000 + second)
}

/// A line of the ledger.
pub(super) fn entry(fact: Fact) -> Entry {
    Entry { at: at(0), fact }
}

/// A note of an agent.
pub(super) fn note(noted: Noted, epoch: i64, number: u32, second: i64) -> Note {
    Note { noted, epoch, number, at: at(second) }
}

/// A run with one task in the middle of it.
pub(super) struct Staged {
    pub(super) task: TaskId,
    pub(super) evidence: Evidence,
}

impl Staged {
    /// A task that was done at the first try.
    pub(super) fn done() -> Self {
        Self::of(Kind::Quick, &[(0, "queued"), (1, "starting"), (1, "running"), (1, "done")], 0)
    }

    /// A task that was lost once and is done now.
    pub(super) fn retried(kind: Kind) -> Self {
        let first = [(0, "queued"), (1, "starting"), (1, "running"), (1, "pending")];
        let second = [(1, "queued"), (2, "starting"), (2, "running"), (2, "done")];
        Self::of(kind, &[first, second].concat(), 0)
    }

    /// A task that was done at the first try and said these lines.
    pub(super) fn saying(lines: &[&str]) -> Self {
        let mut staged = Self::done();
        let Some(end) = staged.history().events.pop() else { return staged };
        for line in lines {
            staged.push_output(line);
        }
        let sequence = staged.history().task.last_sequence;
        staged.history().events.push(TaskEvent { sequence, ..end });
        staged
    }

    /// A task that began so many seconds after its parent was done.
    pub(super) fn with_parent(seconds: i64) -> Self {
        let mut staged = Self::done();
        let all = [(0, "pending"), (0, "queued"), (1, "starting"), (1, "running"), (1, "done")];
        // The parent is done at its fourth second, the child is released at its second.
        let child = Self::of(Kind::Quick, &all, 3 + seconds - 1);
        let parents = vec![staged.task];
        let mut asked = child.evidence.asked;
        asked.values_mut().for_each(|asked| asked.parents.clone_from(&parents));
        staged.evidence.asked.extend(asked);
        staged.evidence.histories.extend(child.evidence.histories);
        staged
    }

    fn of(kind: Kind, statuses: &[(i64, &str)], begins: i64) -> Self {
        let task = TaskId::new();
        let history = history(task, statuses, begins);
        let asked = AskedTask { owner: 0, kind, lines: 3, is_pushed: false, parents: Vec::new() };
        let evidence = Evidence {
            histories: HashMap::from([(task, history)]),
            ledger: Vec::new(),
            asked: HashMap::from([(task, asked)]),
            witness: Witness::default(),
            windows: Windows::default(),
            results: Results::default(),
            waiting: HashMap::new(),
            crons: Vec::new(),
            foreign_rows: Vec::new(),
            missing_from_dispatch: Vec::new(),
            unregistered: Vec::new(),
            ended_by_themselves: Vec::new(),
            leftovers: Leftovers::default(),
        };
        Self { task, evidence }
    }

    pub(super) fn history(&mut self) -> &mut History {
        self.evidence.histories.get_mut(&self.task).unwrap()
    }

    /// Adds a line of output at the end.
    pub(super) fn push_output(&mut self, text: &str) {
        let history = self.history();
        let sequence = history.events.len() as i64 + 1;
        history.events.push(event(sequence, history.task.epoch, EventKind::Output, json!({"text": text})));
        history.task.last_sequence = sequence + i64::from(history.task.last_sequence > sequence);
    }

    /// Adds a notice to an epoch.
    pub(super) fn insert_notice(&mut self, epoch: i64, code: &str) {
        let history = self.history();
        let sequence = history.task.last_sequence + 1;
        history.events.push(event(sequence, epoch, EventKind::Notice, json!({ "code": code })));
        history.task.last_sequence = sequence;
    }

    /// Adds a checkpoint of the first epoch behind its start.
    pub(super) fn insert_checkpoint(&mut self, number: i64, lines: u32) {
        let data = json!({"number": number, "linesAdded": lines});
        let history = self.history();
        history.events.insert(3, event(4, 1, EventKind::Checkpoint, data));
        for (event, sequence) in history.events.iter_mut().zip(1..) {
            event.sequence = sequence;
        }
        history.task.last_sequence += 1;
    }
}

fn event(sequence: i64, epoch: i64, kind: EventKind, data: Value) -> TaskEvent {
    TaskEvent { sequence, epoch: Epoch::from(epoch), kind, data, created_at: at(sequence - 1) }
}

fn history(id: TaskId, statuses: &[(i64, &str)], begins: i64) -> History {
    let mut events = Vec::new();
    let mut before: Option<&str> = None;
    for ((epoch, to), sequence) in statuses.iter().zip(1..) {
        let data = json!({"transition": "t", "from": before, "to": to});
        let mut event = event(sequence, *epoch, EventKind::Status, data);
        event.created_at = at(begins + sequence - 1);
        events.push(event);
        before = Some(to);
    }
    let epoch = statuses.last().map_or(0, |(epoch, _)| *epoch);
    let task = TaskRow {
        id,
        owner_id: Uuid::nil(),
        name: id.to_string(),
        status: before.and_then(|word| word.parse().ok()).unwrap_or(TaskStatus::Pending),
        epoch,
        max_retries: 3,
        last_sequence: events.len() as i64,
        status_code: None,
        result_branch: None,
        result_commit: None,
        completion_error: None,
    };
    History {
        task,
        events,
        attempts: (1..=epoch).map(|number| attempt(id, number, number == epoch)).collect(),
    }
}

fn attempt(task_id: TaskId, epoch: i64, is_last: bool) -> AttemptRow {
    let outcome = if is_last { AttemptOutcome::Completed } else { AttemptOutcome::WorkerLost };
    AttemptRow {
        task_id,
        epoch,
        worker_id: Uuid::from_u128(epoch.unsigned_abs().into()),
        worker_name: Some(format!("worker-{epoch}.1")),
        lease_expires_at: Some(at(100)),
        ended_at: Some(at(epoch * 4)),
        outcome: Some(outcome),
        pushing_commit: None,
    }
}
