//! Claude Code, headless: one JSON object to a line both ways.
//!
//! Its plan is the first user message. Standard input is a pipe (of a regular file the client reads nothing) and stays
//! open for more messages until the result; the client ends behind its end. A message carries its name: the client
//! keeps it in the conversation, and repeats the message when it takes it up. `total_cost_usd` and `modelUsage` begin
//! at nothing with each process, and add up over its turns.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::path::Path;

use chrono::{DateTime, Utc};
use makima_shared::domain::{Agent, AgentEvent, MessageId, TokenUsage};
use serde_json::{Value, json};

use super::heard::TurnEnd;
use super::{Adapter, Ask, ConversationPlace, Heard, Launch, Limit, LimitKind, TakenUp, ids_behind};
use crate::process::Signal;

/// The directory of its settings and conversations in the agent's home.
const CONFIG_DIRECTORY: &str = ".claude";
/// What it may use without asking where no sandbox allows everything.
const TOOLS: &str = "--allowedTools=Bash,BashOutput,KillShell,Edit,MultiEdit,Write,NotebookEdit,Read,Glob,Grep,LS,\
                     Task,TodoWrite,WebFetch,WebSearch";
/// How often it asks again by itself. The task waits longer than the client does, and holds no slot.
const RETRIES: &str = "4";

pub(super) struct Claude;

impl Claude {
    fn launch(&self, ask: &Ask<'_>, session: [String; 2], words: &str) -> Launch {
        let (model, args) = match &ask.task.agent {
            Agent::Claude { model, args, .. } => (model.as_deref(), args.as_slice()),
            Agent::Command { .. } | Agent::Codex { .. } => (None, &[][..]),
        };
        let mut argv: Vec<OsString> = vec![ask.program.into()];
        let mut add = |words: &[&str]| argv.extend(words.iter().map(OsString::from));
        add(&["-p", "--verbose", "--output-format", "stream-json"]);
        add(&["--input-format", "stream-json", "--replay-user-messages"]);
        add(&session.each_ref().map(String::as_str));
        add(&[if ask.sandboxed { "--dangerously-skip-permissions" } else { TOOLS }]);
        if let Some(model) = model {
            add(&["--model", model]);
        }
        if let Some(budget) = ask.budget_usd {
            add(&["--max-budget-usd", &format!("{budget:.6}")]);
        }
        argv.extend(args.iter().map(OsString::from));
        let config = ask.home.join(CONFIG_DIRECTORY).display().to_string();
        let mut env: BTreeMap<String, String> = [
            ("CLAUDE_CONFIG_DIR", config.as_str()),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("DISABLE_AUTOUPDATER", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        if !ask.task.env.contains_key("CLAUDE_CODE_MAX_RETRIES") {
            env.insert("CLAUDE_CODE_MAX_RETRIES".to_owned(), RETRIES.to_owned());
        }
        if ask.sandboxed && ask.is_root {
            // Said only where it is true: the client then takes it that root can do no harm.
            env.insert("IS_SANDBOX".to_owned(), "1".to_owned());
        }
        let stdin = if words.is_empty() { String::new() } else { message(None, words) };
        Launch { argv, env, stdin }
    }
}

impl Adapter for Claude {
    fn start(&self, ask: &Ask<'_>) -> Launch {
        self.launch(ask, ["--session-id".to_owned(), ask.task.id.to_string()], &ask.beginning())
    }

    fn resume(&self, ask: &Ask<'_>, session: &str) -> Launch {
        self.launch(ask, ["--resume".to_owned(), session.to_owned()], &ask.continuation())
    }

    fn read(&self, line: &Value, heard: &mut Heard) -> Option<Vec<AgentEvent>> {
        Some(match text(line, "type") {
            "system" => system(line, heard),
            "assistant" => assistant(line, heard),
            "user" => user(line, heard),
            "rate_limit_event" => rate_limit(line, heard),
            "result" => result(line, heard),
            _ => return None,
        })
    }

    fn say(&self, id: MessageId, text: &str) -> Option<String> {
        Some(message(Some(id), text))
    }

    fn listens(&self) -> bool {
        true
    }

    /// As the `uuid` of a line, or as the `source_uuid` in one where it came during a turn.
    fn messages_in(&self, conversation: &[u8]) -> HashSet<MessageId> {
        ids_behind(b"uuid\":\"", conversation)
    }

    /// On SIGINT it ends its tools, which live in sessions of their own, and writes a last line.
    fn stop_signal(&self) -> Signal {
        Signal::SIGINT
    }

    fn conversation(&self) -> Option<ConversationPlace> {
        Some(ConversationPlace {
            directory: ".claude/projects",
            depth: 2,
            session_of: |name| name.strip_suffix(".jsonl").filter(|name| is_uuid(name)),
            path_for: |path, tree| {
                let file = path.rsplit('/').next().unwrap_or_default();
                format!("{}/{file}", project_directory(tree))
            },
            index: None,
        })
    }

    fn passes(&self) -> &'static [&'static str] {
        &[
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_AUTH_TOKEN",
            "ANTHROPIC_BASE_URL",
            "ANTHROPIC_MODEL",
            "ANTHROPIC_SMALL_FAST_MODEL",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "HTTPS_PROXY",
            "HTTP_PROXY",
            "NO_PROXY",
            "NODE_EXTRA_CA_CERTS",
        ]
    }

    fn tells_its_end(&self) -> bool {
        true
    }
}

/// Returns what the client calls the directory of a working directory's conversations.
fn project_directory(tree: &Path) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    tree.to_string_lossy().chars().map(plain).collect()
}

pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn message(id: Option<MessageId>, words: &str) -> String {
    let content = json!([{ "type": "text", "text": words }]);
    let mut line = json!({ "type": "user", "message": { "role": "user", "content": content } });
    if let Some(id) = id {
        line["uuid"] = json!(id);
    }
    format!("{line}\n")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn owned(value: &Value, name: &str) -> String {
    text(value, name).to_owned()
}

fn system(line: &Value, heard: &mut Heard) -> Vec<AgentEvent> {
    match text(line, "subtype") {
        "init" => {
            let id = owned(line, "session_id");
            heard.session = Some(id.clone());
            // With stream-json input every message brings its own; the turn before is no longer the last.
            heard.turn_end = None;
            vec![AgentEvent::Session { id }]
        }
        "api_retry" => {
            let error = line.get("error_status").or_else(|| line.get("error"));
            let error = error.map(ToString::to_string).unwrap_or_default();
            let attempt = line.get("attempt").and_then(Value::as_u64).unwrap_or_default();
            vec![AgentEvent::Error {
                message: format!("the API answered {error}, the client asks again (time {attempt})"),
            }]
        }
        _ => Vec::new(),
    }
}

fn assistant(line: &Value, heard: &mut Heard) -> Vec<AgentEvent> {
    let Some(message) = line.get("message") else { return Vec::new() };
    let mut events: Vec<_> = blocks(message).iter().filter_map(said).collect();
    if let (Some(usage), Some(id)) = (message.get("usage"), message.get("id").and_then(Value::as_str)) {
        count_message(heard, id, tokens(usage));
        events.push(AgentEvent::Usage(heard.spend.tokens));
    }
    events
}

/// Counts a message, of which each content block comes in a line of its own with the count so far.
fn count_message(heard: &mut Heard, id: &str, usage: TokenUsage) {
    if let Some((last, counted)) = &heard.open_message
        && last == id
    {
        heard.open_turn = heard.open_turn.since(counted);
    }
    heard.open_turn = heard.open_turn.plus(&usage);
    heard.open_message = Some((id.to_owned(), usage));
    heard.spend.tokens = heard.turns.plus(&heard.open_turn);
}

fn said(block: &Value) -> Option<AgentEvent> {
    Some(match text(block, "type") {
        "text" => AgentEvent::Text { text: owned(block, "text") },
        "thinking" => AgentEvent::Thinking { text: owned(block, "thinking") },
        "tool_use" => AgentEvent::ToolUse {
            id: owned(block, "id"),
            name: owned(block, "name"),
            input: block.get("input").cloned().unwrap_or_default(),
        },
        _ => return None,
    })
}

fn user(line: &Value, heard: &mut Heard) -> Vec<AgentEvent> {
    if line.get("isReplay").and_then(Value::as_bool).unwrap_or_default() {
        heard.taken_up = text(line, "uuid").parse().ok().map(TakenUp::One);
    }
    let Some(message) = line.get("message") else { return Vec::new() };
    let answer = |block: &Value| {
        (text(block, "type") == "tool_result").then(|| AgentEvent::ToolResult {
            id: owned(block, "tool_use_id"),
            text: words(block.get("content")),
            is_error: block.get("is_error").and_then(Value::as_bool).unwrap_or_default(),
        })
    };
    blocks(message).iter().filter_map(answer).collect()
}

fn blocks(message: &Value) -> &[Value] {
    message.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Puts the words of a content together, which is a text or a list of blocks.
pub(super) fn words(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(blocks)) => {
            let texts: Vec<_> = blocks.iter().map(|block| text(block, "text")).collect();
            texts.join("\n")
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => String::new(),
    }
}

fn count(value: &Value, name: &str) -> i64 {
    value.get(name).and_then(Value::as_i64).unwrap_or_default().max(0)
}

fn tokens(usage: &Value) -> TokenUsage {
    TokenUsage {
        input_tokens: count(usage, "input_tokens")
            .saturating_add(count(usage, "cache_creation_input_tokens")),
        cached_input_tokens: count(usage, "cache_read_input_tokens"),
        output_tokens: count(usage, "output_tokens"),
    }
}

/// Sums up what each model was used for, over all turns of the process.
fn model_usage(line: &Value) -> Option<TokenUsage> {
    let models = line.get("modelUsage")?.as_object().filter(|models| !models.is_empty())?;
    let one = |usage: &Value| TokenUsage {
        input_tokens: count(usage, "inputTokens").saturating_add(count(usage, "cacheCreationInputTokens")),
        cached_input_tokens: count(usage, "cacheReadInputTokens"),
        output_tokens: count(usage, "outputTokens"),
    };
    Some(models.values().map(one).fold(TokenUsage::default(), |sum, usage| sum.plus(&usage)))
}

fn rate_limit(line: &Value, heard: &mut Heard) -> Vec<AgentEvent> {
    let Some(info) = line.get("rate_limit_info") else { return Vec::new() };
    if text(info, "status") != "rejected" {
        return Vec::new();
    }
    let until = info.get("resetsAt").and_then(Value::as_i64).and_then(|at| DateTime::from_timestamp(at, 0));
    let kind = text(info, "rateLimitType").replace('_', " ");
    let message = format!("the usage limit is reached {kind}");
    heard.limit = Some(Limit::new(LimitKind::Usage, until, &message, Utc::now()));
    vec![AgentEvent::Error { message }]
}

fn result(line: &Value, heard: &mut Heard) -> Vec<AgentEvent> {
    let subtype = text(line, "subtype");
    // An error of the API comes as a success with `is_error`.
    let is_error =
        line.get("is_error").and_then(Value::as_bool).unwrap_or_default() || subtype.starts_with("error");
    let said = owned(line, "result");
    let errors = line.get("errors").and_then(Value::as_array);
    let first = errors.and_then(|errors| errors.first()).and_then(Value::as_str);
    let said =
        if said.is_empty() { first.unwrap_or(if is_error { subtype } else { "" }).to_owned() } else { said };
    let used = line.get("usage").map_or(heard.open_turn, tokens);
    heard.turns = model_usage(line).unwrap_or_else(|| heard.turns.plus(&used));
    (heard.open_turn, heard.open_message) = (TokenUsage::default(), None);
    heard.spend.tokens = heard.turns;
    if let Some(usd) =
        line.get("total_cost_usd").and_then(Value::as_f64).filter(|usd| usd.is_finite() && *usd >= 0.0)
    {
        heard.spend.cost_usd = Some(usd);
    }
    if is_error {
        heard.over_budget = subtype == "error_max_budget_usd";
        let status = line.get("api_error_status").and_then(Value::as_u64);
        let limit = Limit::of_error(status, &said, Utc::now());
        // A line before may have told the time.
        heard.limit = match (limit, heard.limit.take()) {
            (Some(limit), Some(before)) if limit.until.is_none() => {
                Some(Limit { until: before.until, ..limit })
            }
            (Some(limit), _) => Some(limit),
            (None, before) => before,
        };
        heard.complain(&said);
    } else {
        heard.limit = None;
    }
    heard.turn_end = Some(TurnEnd { is_error, text: said.clone() });
    let mut events = vec![AgentEvent::Usage(heard.spend.tokens)];
    events.extend(heard.spend.cost_usd.map(|usd| AgentEvent::Cost { usd }));
    events.push(AgentEvent::Result { text: said, is_error });
    events
}
