//! `OpenAI`'s Responses, as Codex asks for them.

use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::conversation::{Turn, new_id};
use crate::script::{Do, Step, Usage};
use crate::stream;

/// Reads the conversation of a request.
pub(crate) fn turns(body: &Value) -> Vec<Turn> {
    match &body["input"] {
        Value::String(text) => vec![Turn::User(text.clone())],
        Value::Array(items) => items.iter().flat_map(item_turns).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

fn item_turns(item: &Value) -> Vec<Turn> {
    match item["type"].as_str() {
        Some("function_call" | "custom_tool_call") => {
            item["call_id"].as_str().map(|id| Turn::Used(id.to_owned())).into_iter().collect()
        }
        Some("message") | None => message_turns(item),
        Some(_) => Vec::new(),
    }
}

fn message_turns(item: &Value) -> Vec<Turn> {
    let said = |text: &str| match item["role"].as_str() {
        Some("assistant") => Turn::Said(text.to_owned()),
        _ => Turn::User(text.to_owned()),
    };
    match &item["content"] {
        Value::String(text) => vec![said(text)],
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str().map(said)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

/// Answers a step other than a refusal. Codex asks for streams alone.
pub(crate) fn answer(body: &Value, step: &Step) -> Response {
    let item = match &step.what {
        Do::Say { say } => json!({
            "type": "message", "id": new_id("msg"), "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": say, "annotations": []}],
        }),
        Do::Run { run } => call("exec_command", &json!({"cmd": run})),
        Do::Use { tool, input } => call(tool, input),
        Do::Break(broken) => {
            let failed = response(body, "failed", &json!({"code": broken.kind, "message": broken.message}));
            let created =
                json!({"type": "response.created", "response": response(body, "in_progress", &Value::Null)});
            return stream::events(&[created, json!({"type": "response.failed", "response": failed})]);
        }
        Do::Refuse(_) => return ().into_response(),
    };
    stream::events(&pieces(body, step.usage, &item))
}

fn call(name: &str, input: &Value) -> Value {
    json!({
        "type": "function_call", "id": new_id("fc"), "call_id": new_id("call"), "status": "completed",
        "name": name, "arguments": input.to_string(),
    })
}

fn response(body: &Value, status: &str, error: &Value) -> Value {
    json!({
        "id": new_id("resp"), "object": "response", "model": body["model"], "output": [], "status": status,
        "error": error,
    })
}

fn pieces(body: &Value, usage: Usage, item: &Value) -> Vec<Value> {
    let mut pieces = vec![
        json!({"type": "response.created", "response": response(body, "in_progress", &Value::Null)}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": item}),
    ];
    if let Some(text) = item["content"][0]["text"].as_str() {
        pieces.push(json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0,
            "item_id": item["id"], "delta": text}));
    }
    pieces.push(json!({"type": "response.output_item.done", "output_index": 0, "item": item}));
    let mut completed = response(body, "completed", &Value::Null);
    completed["output"] = json!([item]);
    let read = usage.input + usage.cached;
    completed["usage"] = json!({
        "input_tokens": read, "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.output, "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + usage.output,
    });
    pieces.push(json!({"type": "response.completed", "response": completed}));
    pieces
}
