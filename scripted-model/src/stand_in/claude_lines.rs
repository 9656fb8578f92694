//! The lines that Claude Code prints.

use serde_json::{Value, json};

/// What each token is said to cost.
const USD_PER_TOKEN: f64 = 0.000_01;

/// What a run has used: the turn's tokens, and the process's cost.
#[derive(Default)]
pub(crate) struct Used {
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) cost_usd: f64,
}

impl Used {
    /// Begins another turn: tokens are told by turn, the cost by process.
    pub(crate) fn begin_turn(&mut self) {
        (self.input, self.output) = (0, 0);
    }

    pub(crate) fn add(&mut self, input: u64, output: u64) {
        self.input += input;
        self.output += output;
        #[expect(clippy::cast_precision_loss, reason = "tokens of a test are few")]
        let tokens = (input + output) as f64;
        self.cost_usd += tokens * USD_PER_TOKEN;
    }
}

/// How a turn ended.
pub(crate) enum End {
    Said(String),
    /// An error of the API, with the status if it had one.
    Failed(Option<u16>, String),
    Interrupted,
}

pub(crate) fn init(session: &str) -> Value {
    let cwd = std::env::current_dir().unwrap_or_default();
    json!({"type": "system", "subtype": "init", "cwd": cwd, "session_id": session, "tools": ["Bash"],
        "model": "claude-opus-4-8", "permissionMode": "bypassPermissions", "claude_code_version": "2.1.197"})
}

pub(crate) fn message(role: &str, message: &Value, session: &str) -> Value {
    json!({"type": role, "message": message, "parent_tool_use_id": null, "session_id": session})
}

pub(crate) fn replay(id: &str, message: &Value, session: &str) -> Value {
    json!({"type": "user", "message": message, "parent_tool_use_id": null, "session_id": session, "uuid": id,
        "isReplay": true})
}

pub(crate) fn retry(attempt: u32, most: u32, status: u16, session: &str) -> Value {
    let error = if status == 401 { "authentication_failed" } else { "overloaded" };
    json!({"type": "system", "subtype": "api_retry", "attempt": attempt, "max_retries": most,
        "retry_delay_ms": 1.0, "error_status": status, "error": error, "session_id": session})
}

pub(crate) fn limit(resets_at: i64, session: &str) -> Value {
    json!({"type": "rate_limit_event", "session_id": session, "rate_limit_info": {
        "status": "rejected", "resetsAt": resets_at, "rateLimitType": "five_hour", "isUsingOverage": false}})
}

pub(crate) fn result(end: &End, used: &Used, session: &str) -> Value {
    let mut line = json!({"type": "result", "session_id": session, "num_turns": 1, "duration_ms": 1,
        "total_cost_usd": used.cost_usd, "permission_denials": [],
        "usage": {"input_tokens": used.input, "output_tokens": used.output,
            "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}});
    let (subtype, is_error) = match end {
        End::Said(_) => ("success", false),
        End::Failed(..) => ("success", true),
        End::Interrupted => ("error_during_execution", true),
    };
    line["subtype"] = subtype.into();
    line["is_error"] = is_error.into();
    match end {
        End::Said(text) => line["result"] = text.as_str().into(),
        End::Failed(status, text) => {
            line["result"] = text.as_str().into();
            line["api_error_status"] = (*status).into();
        }
        End::Interrupted => line["terminal_reason"] = "aborted_tools".into(),
    }
    line
}
