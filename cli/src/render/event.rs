//! One event of a task's history.

use console::{Style, style};
use makima_shared::domain::{EventKind, StatusChange, TaskEvent};
use serde::Deserialize;
use serde_json::Value;

use super::agent_event::agent_event;
use super::{one_line, plain, status_for_stderr};

/// Where a line belongs: what the agent wrote is the product, all else is talk about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EventLine {
    /// Standard output. A partial line goes on with the next one of its kind.
    Output { text: String, partial: bool },
    /// Standard error.
    Talk(String),
    /// There is nothing to show.
    Nothing,
}

/// How an agent's lines are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// For a person at a terminal.
    Terminal,
    /// In the same words, for a file or a program: a text that is shown stays as it is.
    Plain,
    /// As the agent wrote them.
    Raw,
}

/// Puts an event into a line.
pub(crate) fn event_line(event: &TaskEvent, form: Form) -> EventLine {
    match event.kind {
        EventKind::Output => output_line(&event.data, form),
        EventKind::Status => EventLine::Talk(status_change(event)),
        EventKind::Checkpoint => {
            let number = event.data.get("number").and_then(Value::as_i64);
            let words =
                number.map_or_else(|| "a checkpoint".to_owned(), |number| format!("checkpoint {number}"));
            let message = one_line(text(&event.data, "message"));
            let said = if message.is_empty() { message } else { format!(": {message}") };
            EventLine::Talk(talk().apply_to(format!("-- {words} is stored{said}")).to_string())
        }
        EventKind::Notice => EventLine::Talk(notice(&event.data)),
    }
}

fn talk() -> Style {
    Style::new().for_stderr().dim()
}

fn text<'a>(data: &'a Value, name: &str) -> &'a str {
    data.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Puts a line of the agent, `{"stream", "text", "partial", "parsed"}`, into one of ours, or into several.
pub(crate) fn output_line(data: &Value, form: Form) -> EventLine {
    if let (Some(parsed), true) = (data.get("parsed").and_then(Value::as_array), form != Form::Raw) {
        let told: Vec<_> = parsed.iter().filter_map(|event| agent_event(event, form)).collect();
        return if told.is_empty() {
            EventLine::Nothing
        } else {
            EventLine::Output { text: told.join("\n"), partial: false }
        };
    }
    let partial = data.get("partial").and_then(Value::as_bool).unwrap_or_default();
    let line = text(data, "text");
    let text = if form != Form::Terminal {
        line.to_owned()
    } else if text(data, "stream") == "stderr" {
        style(plain(line)).yellow().to_string()
    } else {
        plain(line).into_owned()
    };
    EventLine::Output { text, partial }
}

fn status_change(event: &TaskEvent) -> String {
    let Ok(change) = StatusChange::deserialize(&event.data) else {
        return talk().apply_to("-- a change of status").to_string();
    };
    let words = [text(&event.data, "code"), text(&event.data, "message")].map(one_line);
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let epoch = match event.epoch.number() {
        ..2 => String::new(),
        number => format!(" (try {number})"),
    };
    let because = if words.is_empty() { String::new() } else { format!(": {}", words.join(": ")) };
    format!("{} {}{}", talk().apply_to("--"), status_for_stderr(change.to), talk().apply_to(epoch + &because))
}

fn notice(data: &Value) -> String {
    let words = format!("-- {}: {}", one_line(text(data, "code")), one_line(text(data, "message")));
    Style::new().for_stderr().yellow().apply_to(words).to_string()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use makima_shared::domain::Epoch;
    use serde_json::json;

    use super::*;

    fn event(kind: EventKind, epoch: i64, data: Value) -> TaskEvent {
        TaskEvent { sequence: 1, epoch: Epoch::from(epoch), kind, data, created_at: DateTime::UNIX_EPOCH }
    }

    #[test]
    fn the_agents_text_is_output_and_all_else_is_talk() {
        let line = event(EventKind::Output, 1, json!({"stream": "stdout", "text": "a\u{1b}[2Jb"}));
        let output = |text: &str| EventLine::Output { text: text.to_owned(), partial: false };
        assert_eq!(event_line(&line, Form::Terminal), output("ab"));
        assert_eq!(event_line(&line, Form::Plain), output("a\u{1b}[2Jb"));
        let change = json!({
            "transition": "retried", "from": "running", "to": "pending", "code": "WORKER_LOST", "message": "its lease\nran out",
        });
        let expected = "-- pending (try 2): WORKER_LOST: its lease ran out";
        assert_eq!(
            event_line(&event(EventKind::Status, 2, change), Form::Terminal),
            EventLine::Talk(expected.to_owned())
        );
        let stored = event(EventKind::Checkpoint, 1, json!({"number": 3}));
        assert_eq!(
            event_line(&stored, Form::Terminal),
            EventLine::Talk("-- checkpoint 3 is stored".to_owned())
        );
        let named = event(EventKind::Checkpoint, 1, json!({"number": 3, "message": "tests\npass"}));
        let expected = "-- checkpoint 3 is stored: tests pass";
        assert_eq!(event_line(&named, Form::Terminal), EventLine::Talk(expected.to_owned()));
    }
}
