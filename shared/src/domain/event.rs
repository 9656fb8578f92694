//! A task's history: numbered events, and the fold that gives its status back.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Epoch, TaskStatus, Transition};

/// What an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "event_kind", rename_all = "lowercase")]
pub enum EventKind {
    /// The task moved; the data is a [`StatusChange`].
    Status,
    /// One line of the agent: `{"stream": "stdout", "text": ".."}`, with `"partial": true` where the line goes on, and with
    /// `"parsed": [..]` where it is known what it says.
    Output,
    /// A checkpoint was stored.
    Checkpoint,
    /// Something that a person should know: `{"code": "..", "message": ".."}`.
    Notice,
}

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One entry of a task's history.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskEvent {
    /// The event's place in the task's history: 1, 2, 3 .. without gaps. Once old output is deleted its numbers are missing,
    /// and a notice with the code `OUTPUT_PRUNED` says so.
    pub sequence: i64,
    /// The epoch it belongs to; 0 before the first claim.
    pub epoch: Epoch,
    /// What it tells.
    pub kind: EventKind,
    /// Its content; the shape depends on the kind.
    #[schema(value_type = Object)]
    pub data: Value,
    /// When it was written, by the database's clock.
    pub created_at: DateTime<Utc>,
}

/// The data of a status event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusChange {
    /// The transition's name.
    pub transition: String,
    /// Where the task stood; nothing for the submission.
    pub from: Option<TaskStatus>,
    /// Where it stands now.
    pub to: TaskStatus,
}

impl StatusChange {
    /// Tells whether a task that stands at `status` may make this move.
    fn may_follow(&self, status: Option<TaskStatus>) -> bool {
        let Some(from) = status else { return self.from.is_none() };
        let restarted = self.transition == Transition::RESTARTED
            && TaskStatus::RESTARTABLE.contains(&from)
            && self.to == TaskStatus::Pending;
        self.from == status && (restarted || from.may_become(self.to))
    }
}

/// A history that no sequence of legal moves can have written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// A number is missing or stands twice.
    #[error("event {found} where {expected} was due")]
    Gap {
        /// The number that was due.
        expected: i64,
        /// The number that stands there.
        found: i64,
    },
    /// The event is no status change, or one that does not fit.
    #[error("event {0} does not follow from the ones before it")]
    IllegalEdge(i64),
    /// Epochs went back, or skipped one.
    #[error("event {0} is of an epoch out of order")]
    Epoch(i64),
}

/// Folds a whole history into the status that it leads to, checking numbers, epochs and edges on the way.
///
/// # Errors
/// Names the first event that cannot stand where it stands.
pub fn fold_statuses(events: &[TaskEvent]) -> Result<Option<TaskStatus>, HistoryError> {
    let mut status = None;
    let mut epoch = 0;
    for (event, expected) in events.iter().zip(1..) {
        if event.sequence != expected {
            return Err(HistoryError::Gap { expected, found: event.sequence });
        }
        if event.kind == EventKind::Status {
            let change = StatusChange::deserialize(&event.data)
                .map_err(|_malformed| HistoryError::IllegalEdge(event.sequence))?;
            if !change.may_follow(status) {
                return Err(HistoryError::IllegalEdge(event.sequence));
            }
            epoch += i64::from(change.to == TaskStatus::Starting);
            status = Some(change.to);
        }
        if event.epoch.number() != epoch {
            return Err(HistoryError::Epoch(event.sequence));
        }
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_event(sequence: i64, epoch: i64, from: Option<&str>, to: &str) -> TaskEvent {
        TaskEvent {
            sequence,
            epoch: Epoch::from(epoch),
            kind: EventKind::Status,
            data: serde_json::json!({"transition": "t", "from": from, "to": to}),
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_legal_history_folds_to_its_last_status() {
        let history = [
            status_event(1, 0, None, "queued"),
            status_event(2, 1, Some("queued"), "starting"),
            status_event(3, 1, Some("starting"), "pending"),
        ];
        assert_eq!(fold_statuses(&history), Ok(Some(TaskStatus::Pending)));
    }

    #[test]
    fn an_end_is_left_by_a_restart_alone() {
        let ended = [status_event(1, 0, None, "queued"), status_event(2, 0, Some("queued"), "cancelled")];
        let next = |transition: &str, to: &str| {
            let mut event = status_event(3, 0, Some("cancelled"), to);
            event.data["transition"] = transition.into();
            fold_statuses(&[ended.as_slice(), &[event]].concat())
        };
        assert_eq!(next("restarted", "pending"), Ok(Some(TaskStatus::Pending)));
        for (transition, to) in [("released", "pending"), ("restarted", "queued"), ("restarted", "done")] {
            assert_eq!(next(transition, to), Err(HistoryError::IllegalEdge(3)), "{transition} {to}");
        }
    }

    #[test]
    fn gaps_illegal_edges_and_epochs_out_of_order_are_found() {
        let gap = [status_event(2, 0, None, "queued")];
        assert_eq!(fold_statuses(&gap), Err(HistoryError::Gap { expected: 1, found: 2 }));
        let edge = [status_event(1, 0, None, "queued"), status_event(2, 0, Some("queued"), "done")];
        assert_eq!(fold_statuses(&edge), Err(HistoryError::IllegalEdge(2)));
        let epoch = [status_event(1, 0, None, "queued"), status_event(2, 2, Some("queued"), "starting")];
        assert_eq!(fold_statuses(&epoch), Err(HistoryError::Epoch(2)));
    }
}
