//! Answers in pieces: server-sent events, all of them at once.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// Answers events, each under the name that its `type` gives.
pub(crate) fn events(events: &[Value]) -> Response {
    let mut body = String::new();
    for event in events {
        body += &format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or("message"));
    }
    ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
}
