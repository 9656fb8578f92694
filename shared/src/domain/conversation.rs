//! An agent's conversation: as it is saved, and as messages that all clients share.

mod claude;
mod codex;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AgentClient, AgentEvent};

/// A conversation as a client wrote it.
#[derive(Clone, Debug)]
pub struct SavedConversation {
    /// The client.
    pub client: AgentClient,
    /// What the client calls it.
    pub session: String,
    /// Where its file was, below the client's directory of conversations.
    pub path: String,
    /// The file, compressed with gzip.
    pub content_gzip: Vec<u8>,
    /// Its size before compression, in bytes.
    pub unpacked_bytes: i64,
    /// SHA-256 of the compressed file.
    pub sha256: Vec<u8>,
}

/// Who says something in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConversationRole {
    /// Whoever gives the task.
    User,
    /// The model.
    Assistant,
    /// A tool.
    Tool,
    /// The client, about how to behave.
    System,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConversationMessage {
    /// Who says it.
    pub role: ConversationRole,
    /// What is said: texts, thoughts, calls of tools and their results.
    pub content: Vec<AgentEvent>,
}

impl ConversationMessage {
    /// Reads a line of a client's file; none if it holds no message.
    #[must_use]
    pub fn of_line(client: AgentClient, line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let message = match client {
            AgentClient::Claude => claude::message(&line),
            AgentClient::Codex => codex::message(&line),
        };
        message.filter(|message| !message.content.is_empty())
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Puts the words of a content together, which is a text or a list of blocks.
fn words(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(words)) => words.clone(),
        Some(Value::Array(blocks)) => {
            let texts: Vec<_> = blocks.iter().map(|block| text(block, "text")).collect();
            texts.join("\n")
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(client: AgentClient, line: Value) -> Option<(ConversationRole, Vec<AgentEvent>)> {
        let message = ConversationMessage::of_line(client, &line.to_string())?;
        Some((message.role, message.content))
    }

    fn said(text: &str) -> Vec<AgentEvent> {
        vec![AgentEvent::Text { text: text.to_owned() }]
    }

    #[test]
    fn messages_of_claude_code_are_read() {
        let claude = |line| read(AgentClient::Claude, line);
        let plan = json!({"type": "user", "message": {"role": "user", "content": "tidy up"}, "uuid": "u"});
        assert_eq!(claude(plan), Some((ConversationRole::User, said("tidy up"))));
        let call = json!({"type": "assistant", "message": {"role": "assistant", "content": [
            {"type": "text", "text": "I look."}, {"type": "tool_use", "id": "1", "name": "Bash", "input": {"command": "ls"}}]}});
        let (role, content) = claude(call).unwrap();
        assert_eq!((role, content.len()), (ConversationRole::Assistant, 2));
        let result = json!({"type": "user", "message": {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "1", "content": "a", "is_error": false}]}});
        let answer = AgentEvent::ToolResult { id: "1".to_owned(), text: "a".to_owned(), is_error: false };
        assert_eq!(claude(result), Some((ConversationRole::Tool, vec![answer])));
        for other in [json!({"type": "summary", "summary": "x"}), json!({"type": "user"}), json!([])] {
            assert_eq!(claude(other), None);
        }
    }

    #[test]
    fn messages_of_codex_are_read() {
        let codex =
            |payload: Value| read(AgentClient::Codex, json!({"type": "response_item", "payload": payload}));
        let plan = json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "tidy up"}]});
        assert_eq!(codex(plan), Some((ConversationRole::User, said("tidy up"))));
        let call = json!({"type": "function_call", "name": "shell", "call_id": "1", "arguments": "{\"command\":[\"ls\"]}"});
        let expected = AgentEvent::ToolUse {
            id: "1".to_owned(),
            name: "shell".to_owned(),
            input: json!({"command": ["ls"]}),
        };
        assert_eq!(codex(call), Some((ConversationRole::Assistant, vec![expected])));
        let result = json!({"type": "function_call_output", "call_id": "1", "output": "a"});
        assert_eq!(codex(result).unwrap().0, ConversationRole::Tool);
        assert_eq!(
            read(AgentClient::Codex, json!({"type": "event_msg", "payload": {"type": "token_count"}})),
            None
        );
    }
}
