//! An agent's output, as lines and as text.

use chrono::{DateTime, Utc};
use makima_shared::domain::{AgentEvent, Epoch, OutputStream, TaskEvent};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A part of an agent's output.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OutputView {
    /// The lines, in order.
    lines: Vec<OutputLineView>,
    /// What to send as `after` to go on: the number of the last line here, or what was sent if there is none.
    next_after: i64,
    /// There was output before these lines that is deleted by now. Told on the first page alone.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pruned: bool,
}

/// One line.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OutputLineView {
    /// The number of its event.
    sequence: i64,
    /// The attempt that wrote it.
    epoch: Epoch,
    #[serde(flatten)]
    line: Line,
    /// When it was stored, by the database's clock.
    created_at: DateTime<Utc>,
}

/// What the worker stored of a line.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Line {
    /// Where it came from.
    stream: OutputStream,
    /// The line, without its end.
    text: String,
    /// The line goes on in the next one of the same stream.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schema(required = false)]
    partial: bool,
    /// What the line says, where the agent is a client whose lines are known: with the last piece of a line, empty with those
    /// before it and where there is nothing to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<AgentEvent>>, required = false)]
    parsed: Option<Vec<Value>>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(value: &bool) -> bool {
    !value
}

impl OutputView {
    /// Reads events, all of the kind `output`.
    pub(crate) fn new(events: &[TaskEvent], after: i64, pruned: bool) -> Result<Self, serde_json::Error> {
        let line = |event: &TaskEvent| {
            Ok(OutputLineView {
                sequence: event.sequence,
                epoch: event.epoch,
                line: Line::deserialize(&event.data)?,
                created_at: event.created_at,
            })
        };
        Ok(Self {
            lines: events.iter().map(line).collect::<Result<_, serde_json::Error>>()?,
            next_after: events.last().map_or(after, |event| event.sequence),
            pruned,
        })
    }
}

/// Puts lines together as text: a partial line is continued where the next one comes from the same attempt and stream,
/// and ended otherwise.
#[derive(Debug, Default)]
pub(crate) struct OutputText {
    open: Option<(Epoch, OutputStream)>,
}

impl OutputText {
    /// Returns the text of events, all of the kind `output`, which follow on those of the call before.
    pub(crate) fn piece(&mut self, events: &[TaskEvent]) -> Result<String, serde_json::Error> {
        let mut text = String::new();
        for event in events {
            let line = Line::deserialize(&event.data)?;
            if self.open.is_some_and(|open| open != (event.epoch, line.stream)) {
                text.push('\n');
            }
            text.push_str(&line.text);
            self.open = line.partial.then_some((event.epoch, line.stream));
            if self.open.is_none() {
                text.push('\n');
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use makima_shared::domain::EventKind;
    use serde_json::json;

    use super::*;

    fn event(epoch: i64, data: Value) -> TaskEvent {
        let (kind, created_at) = (EventKind::Output, DateTime::UNIX_EPOCH);
        TaskEvent { sequence: 1, epoch: Epoch::from(epoch), kind, data, created_at }
    }

    #[test]
    fn partial_lines_are_joined_within_a_stream_and_an_attempt_alone() {
        let mut text = OutputText::default();
        let events = [
            event(1, json!({"stream": "stdout", "text": "a", "partial": true})),
            event(1, json!({"stream": "stdout", "text": "b"})),
            event(1, json!({"stream": "stdout", "text": "c", "partial": true})),
            event(1, json!({"stream": "stderr", "text": "d", "partial": true})),
        ];
        assert_eq!(text.piece(&events).unwrap(), "ab\nc\nd");
        assert_eq!(text.piece(&[event(2, json!({"stream": "stderr", "text": "e"}))]).unwrap(), "\ne\n");
    }
}
