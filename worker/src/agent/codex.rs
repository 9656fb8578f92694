//! Codex, headless: `codex exec --json`, its prompt on standard input.
//!
//! Its count of tokens goes on over the processes of one conversation, so what an attempt used is the difference to what
//! stood in the conversation when it took it up. It tells no cost.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;

use chrono::Utc;
use makima_shared::domain::{Agent, AgentEvent, MessageId, TokenUsage};
use serde_json::{Value, json};

use super::claude::{is_uuid, words};
use super::heard::TurnEnd;
use super::{Adapter, Ask, ConversationIndex, ConversationPlace, Heard, Launch, Limit, TakenUp, ids_behind};
use crate::process::Signal;

/// The directory of its settings and conversations in the agent's home.
const HOME_DIRECTORY: &str = ".codex";
/// What stands before the name of a message.
const MESSAGE_MARK: &str = "(message ";

pub(super) struct Codex;

impl Codex {
    fn launch(&self, ask: &Ask<'_>, session: &[&str], words: String) -> Launch {
        let (model, args) = match &ask.task.agent {
            Agent::Codex { model, args, .. } => (model.as_deref(), args.as_slice()),
            Agent::Command { .. } | Agent::Claude { .. } => (None, &[][..]),
        };
        let mut argv: Vec<OsString> = vec![ask.program.into()];
        let mut add = |words: &[&str]| argv.extend(words.iter().map(OsString::from));
        // The worker's sandbox, where there is one, is around the client; one within another does not start.
        add(&["exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]);
        let value = |name: &str| ask.task.env.get(name).cloned().or_else(|| std::env::var(name).ok());
        if let Some(url) = value("OPENAI_BASE_URL").filter(|url| !url.is_empty()) {
            for setting in own_provider(&url) {
                add(&["-c", &setting]);
            }
        }
        if let Some(model) = model {
            add(&["--model", model]);
        }
        argv.extend(args.iter().map(OsString::from));
        argv.extend(session.iter().map(OsString::from));
        argv.push("-".into());
        let home = ask.home.join(HOME_DIRECTORY).display().to_string();
        let mut env = BTreeMap::from([("CODEX_HOME".to_owned(), home)]);
        if value("CODEX_API_KEY").is_none()
            && let Some(key) = value("OPENAI_API_KEY")
        {
            env.insert("CODEX_API_KEY".to_owned(), key);
        }
        Launch { argv, env, stdin: words }
    }
}

/// Tells whether a file is of the database with the paths of all threads: `state_5.sqlite` and the files
/// beside it. A thread whose path is not there (any more) is not looked for elsewhere as long as the database has it.
fn is_state_database(name: &str) -> bool {
    name.starts_with("state_") && name.contains(".sqlite")
}

/// Returns the settings that lead the client to a provider at an address of one's own, in TOML.
fn own_provider(url: &str) -> [String; 2] {
    // What JSON writes of a text is a basic string of TOML.
    let url = Value::String(url.to_owned());
    [
        "model_provider=\"makima\"".to_owned(),
        format!(
            "model_providers.makima={{ name = \"makima\", base_url = {url}, env_key = \"OPENAI_API_KEY\", wire_api = \"responses\" }}"
        ),
    ]
}

impl Adapter for Codex {
    fn start(&self, ask: &Ask<'_>) -> Launch {
        self.launch(ask, &[], ask.beginning())
    }

    fn resume(&self, ask: &Ask<'_>, session: &str) -> Launch {
        self.launch(ask, &["resume", session], ask.continuation())
    }

    fn read(&self, line: &Value, heard: &mut Heard) -> Option<Vec<AgentEvent>> {
        Some(match text(line, "type") {
            "thread.started" => {
                let id = text(line, "thread_id").to_owned();
                heard.session = Some(id.clone());
                vec![AgentEvent::Session { id }]
            }
            "turn.started" => {
                (heard.turn_end, heard.limit) = (None, None);
                heard.taken_up = Some(TakenUp::All);
                Vec::new()
            }
            "item.started" => line.get("item").and_then(call).into_iter().collect(),
            "item.completed" => line.get("item").map(completed).unwrap_or_default(),
            "turn.completed" => {
                if let Some(usage) = line.get("usage") {
                    heard.used_in_all(tokens(usage));
                }
                heard.limit = None;
                heard.turn_end = Some(TurnEnd { is_error: false, text: String::new() });
                vec![
                    AgentEvent::Usage(heard.spend.tokens),
                    AgentEvent::Result { text: String::new(), is_error: false },
                ]
            }
            "turn.failed" => {
                let message = line.get("error").map(|error| text(error, "message")).unwrap_or_default();
                trouble(message, heard);
                heard.turn_end = Some(TurnEnd { is_error: true, text: message.to_owned() });
                vec![AgentEvent::Result { text: message.to_owned(), is_error: true }]
            }
            "error" => {
                let message = text(line, "message");
                trouble(message, heard);
                vec![AgentEvent::Error { message: message.to_owned() }]
            }
            "item.updated" => Vec::new(),
            _ => return None,
        })
    }

    /// It takes no message while it runs, and has no room for names: a message's stands in the text.
    fn say(&self, id: MessageId, text: &str) -> Option<String> {
        Some(format!("\n\nA message to you came in {MESSAGE_MARK}{id}):\n\n{text}"))
    }

    fn messages_in(&self, conversation: &[u8]) -> HashSet<MessageId> {
        ids_behind(MESSAGE_MARK.as_bytes(), conversation)
    }

    fn stop_signal(&self) -> Signal {
        Signal::SIGINT
    }

    fn conversation(&self) -> Option<ConversationPlace> {
        Some(ConversationPlace {
            directory: ".codex/sessions",
            depth: 4,
            session_of: |name| {
                let name = name.strip_prefix("rollout-")?.strip_suffix(".jsonl")?;
                name.get(name.len().checked_sub(36)?..).filter(|id| is_uuid(id))
            },
            path_for: |path, _tree| path.to_owned(),
            index: Some(ConversationIndex { directory: HOME_DIRECTORY, is_one: is_state_database }),
        })
    }

    fn used_in(&self, conversation: &[u8]) -> TokenUsage {
        used_in(conversation)
    }

    fn passes(&self) -> &'static [&'static str] {
        &[
            "OPENAI_API_KEY",
            "OPENAI_BASE_URL",
            "OPENAI_ORGANIZATION",
            "OPENAI_PROJECT",
            "CODEX_API_KEY",
            "HTTPS_PROXY",
            "HTTP_PROXY",
            "NO_PROXY",
        ]
    }

    fn tells_its_end(&self) -> bool {
        true
    }
}

fn trouble(message: &str, heard: &mut Heard) {
    heard.complain(message);
    if let Some(limit) = Limit::of_error(None, message, Utc::now()) {
        heard.limit = Some(limit);
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn tokens(usage: &Value) -> TokenUsage {
    let count = |name: &str| usage.get(name).and_then(Value::as_i64).unwrap_or_default().max(0);
    let cached = count("cached_input_tokens");
    TokenUsage {
        input_tokens: count("input_tokens").saturating_sub(cached).max(0),
        cached_input_tokens: cached,
        output_tokens: count("output_tokens"),
    }
}

/// Finds what a conversation had used when it was saved: its newest count.
fn used_in(conversation: &[u8]) -> TokenUsage {
    let newest = conversation.rsplit(|byte| *byte == b'\n').find_map(|line| {
        let line: Value = serde_json::from_slice(line).ok()?;
        let payload = line.get("payload").filter(|payload| text(payload, "type") == "token_count")?;
        payload.get("info")?.get("total_token_usage").map(tokens)
    });
    newest.unwrap_or_default()
}

/// Reads an item as the call of a tool, if it is one.
fn call(item: &Value) -> Option<AgentEvent> {
    let (name, input) = match text(item, "type") {
        "command_execution" => ("shell".to_owned(), json!({ "command": text(item, "command") })),
        "mcp_tool_call" => {
            let name = format!("{}.{}", text(item, "server"), text(item, "tool"));
            (name, item.get("arguments").cloned().unwrap_or_default())
        }
        "file_change" => {
            ("apply_patch".to_owned(), json!({ "changes": item.get("changes").cloned().unwrap_or_default() }))
        }
        "web_search" => ("web_search".to_owned(), json!({ "query": text(item, "query") })),
        _ => return None,
    };
    Some(AgentEvent::ToolUse { id: text(item, "id").to_owned(), name, input })
}

fn completed(item: &Value) -> Vec<AgentEvent> {
    let answer = |text: String| AgentEvent::ToolResult {
        id: self::text(item, "id").to_owned(),
        text,
        is_error: matches!(self::text(item, "status"), "failed" | "declined"),
    };
    let words = || text(item, "text").to_owned();
    match text(item, "type") {
        "agent_message" => vec![AgentEvent::Text { text: words() }],
        "reasoning" => vec![AgentEvent::Thinking { text: words() }],
        "error" => vec![AgentEvent::Error { message: text(item, "message").to_owned() }],
        "command_execution" => vec![answer(text(item, "aggregated_output").to_owned())],
        "mcp_tool_call" => {
            let error =
                item.get("error").map(|error| text(error, "message")).filter(|words| !words.is_empty());
            let result = item.get("result").map(|result| self::words(result.get("content")));
            vec![answer(error.map(str::to_owned).or(result).unwrap_or_default())]
        }
        // Neither has begun with a line of its own.
        "file_change" | "web_search" => call(item).into_iter().chain([answer(String::new())]).collect(),
        _ => Vec::new(),
    }
}
