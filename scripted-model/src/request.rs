//! What clients asked, kept for tests.

use serde_json::Value;

/// A request for an answer of the model.
#[derive(Debug, Clone)]
pub struct Request {
    /// The path, without a query.
    pub path: String,
    /// The body as it came.
    pub body: Value,
}

impl Request {
    /// Returns the messages of the conversation, in the vendor's words.
    #[must_use]
    pub fn messages(&self) -> &[Value] {
        let messages = self.body.get("messages").or_else(|| self.body.get("input"));
        messages.and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Tells whether a text stands anywhere in the messages, as somebody's words, a tool's input or its result.
    #[must_use]
    pub fn tells(&self, text: &str) -> bool {
        self.messages().iter().any(|message| holds(message, text))
    }

    /// Returns what the tools of the conversation brought.
    pub fn tool_results(&self) -> impl Iterator<Item = String> {
        let blocks = self.messages().iter().flat_map(|message| match message["content"].as_array() {
            Some(blocks) => blocks.as_slice(),
            None => std::slice::from_ref(message),
        });
        blocks.filter_map(|block| match block["type"].as_str() {
            Some("tool_result") => Some(block["content"].to_string()),
            Some("function_call_output") => Some(block["output"].to_string()),
            _ => None,
        })
    }
}

fn holds(value: &Value, text: &str) -> bool {
    match value {
        Value::String(string) => string.contains(text),
        Value::Array(values) => values.iter().any(|value| holds(value, text)),
        Value::Object(fields) => fields.values().any(|value| holds(value, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
