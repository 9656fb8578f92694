//! Anthropic's Messages, as Claude Code asks for them.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::conversation::{Turn, new_id};
use crate::script::{Broken, Do, Step, Usage};
use crate::stream;

/// Reads the conversation of a request.
pub(crate) fn turns(body: &Value) -> Vec<Turn> {
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    messages.iter().flat_map(message_turns).collect()
}

fn message_turns(message: &Value) -> Vec<Turn> {
    let said = |text: &str| match message["role"].as_str() {
        Some("assistant") => Turn::Said(text.to_owned()),
        _ => Turn::User(text.to_owned()),
    };
    match &message["content"] {
        Value::String(text) => vec![said(text)],
        Value::Array(blocks) => blocks
            .iter()
            .filter_map(|block| match block["type"].as_str() {
                Some("text") => block["text"].as_str().map(said),
                Some("tool_use") => block["id"].as_str().map(|id| Turn::Used(id.to_owned())),
                _ => None,
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

/// Answers a step other than a refusal.
pub(crate) fn answer(body: &Value, step: &Step) -> Response {
    let block = match &step.what {
        Do::Say { say } => json!({"type": "text", "text": say}),
        Do::Run { run } => tool_use("Bash", json!({"command": run, "description": "A step of the script"})),
        Do::Use { tool, input } => tool_use(tool, input.clone()),
        Do::Break(broken) => return break_off(body, step.usage, broken),
        Do::Refuse(_) => return ().into_response(),
    };
    let reason = if block["type"] == "text" { "end_turn" } else { "tool_use" };
    if body["stream"] == true {
        return stream::events(&pieces(body, step.usage, &block, reason));
    }
    let mut message = message(body, step.usage);
    message["content"] = json!([block]);
    message["stop_reason"] = reason.into();
    Json(message).into_response()
}

fn tool_use(name: &str, input: Value) -> Value {
    json!({"type": "tool_use", "id": new_id("toolu"), "name": name, "input": input})
}

fn message(body: &Value, usage: Usage) -> Value {
    json!({
        "id": new_id("msg"), "type": "message", "role": "assistant", "model": body["model"],
        "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {
            "input_tokens": usage.input, "output_tokens": usage.output,
            "cache_read_input_tokens": usage.cached, "cache_creation_input_tokens": 0,
        },
    })
}

/// Takes a message apart, the way that the vendor streams it: the tokens written are told at its end.
fn pieces(body: &Value, usage: Usage, block: &Value, reason: &str) -> Vec<Value> {
    let mut start = block.clone();
    let delta = if block["type"] == "text" {
        start["text"] = "".into();
        json!({"type": "text_delta", "text": block["text"]})
    } else {
        start["input"] = json!({});
        json!({"type": "input_json_delta", "partial_json": block["input"].to_string()})
    };
    vec![
        json!({"type": "message_start", "message": message(body, Usage { output: 1, ..usage })}),
        json!({"type": "content_block_start", "index": 0, "content_block": start}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
            "usage": {"output_tokens": usage.output}}),
        json!({"type": "message_stop"}),
    ]
}

fn break_off(body: &Value, usage: Usage, broken: &Broken) -> Response {
    stream::events(&[
        json!({"type": "message_start", "message": message(body, usage)}),
        json!({"type": "error", "error": {"type": broken.kind, "message": broken.message}}),
    ])
}
