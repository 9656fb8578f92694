//! Asks the model, and reads what it streams.

use serde_json::Value;

/// What came of a request.
pub(crate) enum Answer {
    /// The events of the stream.
    Events(Vec<Value>),
    /// A status that is an error.
    Refused {
        status: u16,
        error: Value,
        /// When a used-up limit ends, in seconds since 1970, from the headers.
        resets_at: Option<i64>,
    },
}

/// Sends a request and reads all of its answer.
pub(crate) async fn ask(url: &str, body: &Value) -> anyhow::Result<Answer> {
    let response = reqwest::Client::builder().no_proxy().build()?.post(url).json(body).send().await?;
    let status = response.status();
    let reset = response.headers().get("anthropic-ratelimit-unified-reset");
    let resets_at = reset.and_then(|value| value.to_str().ok()?.parse().ok());
    if !status.is_success() {
        let mut body: Value = response.json().await?;
        return Ok(Answer::Refused { status: status.as_u16(), error: body["error"].take(), resets_at });
    }
    let text = response.text().await?;
    let events = text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok());
    Ok(Answer::Events(events.collect()))
}
