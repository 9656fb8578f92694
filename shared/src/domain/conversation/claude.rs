//! The lines of Claude Code's file.

use serde_json::Value;

use super::{ConversationMessage, ConversationRole, text, words};
use crate::domain::AgentEvent;

pub(super) fn message(line: &Value) -> Option<ConversationMessage> {
    let role = match text(line, "type") {
        "user" => ConversationRole::User,
        "assistant" => ConversationRole::Assistant,
        _ => return None,
    };
    let content = line.get("message")?.get("content")?;
    let content: Vec<_> = match content {
        Value::String(text) => vec![AgentEvent::Text { text: text.clone() }],
        Value::Array(blocks) => blocks.iter().filter_map(block).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
    };
    let is_answer = content.iter().all(|part| matches!(part, AgentEvent::ToolResult { .. }));
    let role = if is_answer && role == ConversationRole::User { ConversationRole::Tool } else { role };
    Some(ConversationMessage { role, content })
}

fn block(block: &Value) -> Option<AgentEvent> {
    let owned = |name| text(block, name).to_owned();
    Some(match text(block, "type") {
        "text" => AgentEvent::Text { text: owned("text") },
        "thinking" => AgentEvent::Thinking { text: owned("thinking") },
        "tool_use" => AgentEvent::ToolUse {
            id: owned("id"),
            name: owned("name"),
            input: block.get("input").cloned().unwrap_or_default(),
        },
        "tool_result" => AgentEvent::ToolResult {
            id: owned("tool_use_id"),
            text: words(block.get("content")),
            is_error: block.get("is_error").and_then(Value::as_bool).unwrap_or_default(),
        },
        _ => return None,
    })
}
