//! What a person may do about a task that waits for one.

use makima_shared::domain::{Task, Transition};

use super::one_line;

/// Says why a task stands still, and which commands move it on.
pub(crate) fn how_to_go_on(task: &Task) -> String {
    let id = task.id.short();
    let why = task.status_message.as_deref().map(|words| format!(": {}", one_line(words)));
    let spent = task.status_code.as_deref() == Some(Transition::OVER_BUDGET);
    let caps =
        [("--max-cost USD", task.max_cost_usd.is_some()), ("--max-tokens N", task.max_tokens.is_some())];
    let caps = caps.into_iter().filter(|(_, is_set)| spent && *is_set);
    let raise: String = caps.map(|(flag, _)| format!("`makima edit {id} {flag}` raises its cap, ")).collect();
    format!("task {id} is {}{}; {raise}`makima start {id}` goes on", task.status, why.unwrap_or_default())
}
