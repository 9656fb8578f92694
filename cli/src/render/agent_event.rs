//! What an agent's line says, as a person reads it: its words whole, the call of a tool in one line, what came of it folded.

use console::{Style, style};
use makima_shared::domain::AgentEvent;
use serde::Deserialize as _;
use serde_json::Value;

use super::event::Form;
use super::{one_line, plain};

/// How long a line about a tool may be, in characters.
const LINE_CHARS: usize = 160;
/// What says most about a call, of whatever tool; the first that is there is shown.
const TELLING: [&str; 10] = [
    "command",
    "file_path",
    "notebook_path",
    "path",
    "pattern",
    "url",
    "query",
    "description",
    "prompt",
    "changes",
];

/// Puts an event into words; none if a person can do without.
pub(super) fn agent_event(event: &Value, form: Form) -> Option<String> {
    // Of a newer version, maybe.
    let event = AgentEvent::deserialize(event).ok()?;
    let paint = |text: String, style: Style| {
        if form == Form::Terminal { style.apply_to(text).to_string() } else { text }
    };
    Some(match event {
        AgentEvent::Text { text } if form == Form::Terminal => plain(text.trim_end()).into_owned(),
        AgentEvent::Text { text } => text.trim_end().to_owned(),
        AgentEvent::Thinking { text } if text.trim().is_empty() => return None,
        AgentEvent::Thinking { text } => paint(format!("~ {}", folded(&text)), Style::new().dim()),
        AgentEvent::ToolUse { name, input, .. } => {
            paint(format!("> {}: {}", one_line(&name), told(&input)), Style::new().cyan())
        }
        AgentEvent::ToolResult { text, is_error: false, .. } if text.trim().is_empty() => return None,
        AgentEvent::ToolResult { text, is_error, .. } => {
            let style = if is_error { Style::new().red() } else { Style::new().dim() };
            paint(format!("  | {}", folded(&text)), style)
        }
        AgentEvent::Error { message } => paint(format!("! {}", one_line(&message)), Style::new().red()),
        AgentEvent::Result { text, is_error: true } => {
            paint(format!("! the turn failed: {}", one_line(&text)), Style::new().red())
        }
        AgentEvent::Cost { usd } => paint(format!("= {usd:.4} USD so far"), Style::new().dim()),
        // The result's words were said before.
        AgentEvent::Session { .. } | AgentEvent::Usage(_) | AgentEvent::Result { is_error: false, .. } => {
            return None;
        }
    })
}

/// Says what a tool was told, in a line.
fn told(input: &Value) -> String {
    let telling = TELLING.iter().find_map(|name| input.get(name));
    let text = match telling.unwrap_or(input) {
        Value::String(text) => text.clone(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            other.to_string()
        }
    };
    short(&one_line(&text))
}

/// Shows the first line that has words, and how many more there are.
fn folded(text: &str) -> String {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = short(&one_line(lines.next().unwrap_or_default()));
    match lines.count() {
        0 => first,
        1 => format!("{first} (1 more line)"),
        more => format!("{first} ({more} more lines)"),
    }
}

fn short(line: &str) -> String {
    if line.chars().count() <= LINE_CHARS {
        return line.to_owned();
    }
    line.chars().take(LINE_CHARS).chain(['…']).collect()
}

/// Says what was spent; none if there is nothing to tell.
pub(super) fn spend(spent: &makima_shared::domain::Spend) -> Option<String> {
    if spent.is_nothing() {
        return None;
    }
    let tokens = spent.tokens;
    let cost = spent.cost_usd.map(|usd| format!("{} USD, ", style(format!("{usd:.4}")).bold()));
    let cached = match tokens.cached_input_tokens {
        0 => String::new(),
        cached => format!(", {cached} out of a cache"),
    };
    let cost = cost.unwrap_or_default();
    Some(format!("{cost}{} tokens in{cached}, {} out", tokens.input_tokens, tokens.output_tokens))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(event: Value) -> String {
        agent_event(&event, Form::Plain).unwrap_or_default()
    }

    #[test]
    fn calls_take_a_line_and_results_are_folded() {
        let call = json!({"type": "toolUse", "id": "1", "name": "Bash", "input": {"description": "d", "command": "ls\n-la"}});
        assert_eq!(shown(call), "> Bash: ls -la");
        let call = json!({"type": "toolUse", "id": "1", "name": "Odd", "input": {"x": 1}});
        assert_eq!(shown(call), "> Odd: {\"x\":1}");
        let result = |text: &str, is_error: bool| {
            shown(json!({"type": "toolResult", "id": "1", "text": text, "isError": is_error}))
        };
        assert_eq!(result("a\n\nb\nc\n", false), "  | a (2 more lines)");
        assert_eq!(result("", false), "");
        assert_eq!(result(&"x".repeat(500), true).chars().count(), LINE_CHARS + 5);
    }

    #[test]
    fn words_are_shown_whole_and_the_unknown_is_left_out() {
        assert_eq!(shown(json!({"type": "text", "text": "a\nb\n"})), "a\nb");
        assert_eq!(
            shown(json!({"type": "result", "text": "API Error", "isError": true})),
            "! the turn failed: API Error"
        );
        assert_eq!(shown(json!({"type": "fromTheFuture"})), "");
        assert_eq!(
            shown(json!({"type": "usage", "inputTokens": 1, "cachedInputTokens": 1, "outputTokens": 1})),
            ""
        );
    }
}
