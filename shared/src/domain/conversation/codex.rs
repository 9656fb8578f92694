//! The lines of a rollout file of Codex.

use serde_json::Value;

use super::{ConversationMessage, ConversationRole, text, words};
use crate::domain::AgentEvent;

pub(super) fn message(line: &Value) -> Option<ConversationMessage> {
    if text(line, "type") != "response_item" {
        return None;
    }
    let item = line.get("payload")?;
    let owned = |name| text(item, name).to_owned();
    let assistant = |part| (ConversationRole::Assistant, part);
    let (role, part) = match text(item, "type") {
        "message" => (role(text(item, "role")), AgentEvent::Text { text: words(item.get("content")) }),
        "reasoning" => assistant(AgentEvent::Thinking { text: words(item.get("summary")) }),
        "function_call" => {
            let written = text(item, "arguments");
            let input = serde_json::from_str(written).unwrap_or_else(|_| Value::String(written.to_owned()));
            assistant(AgentEvent::ToolUse { id: owned("call_id"), name: owned("name"), input })
        }
        "custom_tool_call" => {
            let input = Value::String(owned("input"));
            assistant(AgentEvent::ToolUse { id: owned("call_id"), name: owned("name"), input })
        }
        "local_shell_call" => {
            let input = item.get("action").cloned().unwrap_or_default();
            assistant(AgentEvent::ToolUse { id: owned("call_id"), name: "shell".to_owned(), input })
        }
        "function_call_output" | "custom_tool_call_output" => {
            let output = item.get("output");
            let inner = output.and_then(|output| output.get("content"));
            let text = words(inner.or(output));
            (ConversationRole::Tool, AgentEvent::ToolResult { id: owned("call_id"), text, is_error: false })
        }
        _ => return None,
    };
    Some(ConversationMessage { role, content: vec![part] })
}

fn role(name: &str) -> ConversationRole {
    match name {
        "assistant" => ConversationRole::Assistant,
        "system" | "developer" => ConversationRole::System,
        _ => ConversationRole::User,
    }
}
