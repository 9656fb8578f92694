//! Lines that the real clients printed (`worker/tests/recorded/`), read and judged as those of an attempt.

use makima_shared::domain::{AgentClient, AgentEvent, TokenUsage};
use serde_json::Value;

use super::claude::Claude;
use super::codex::Codex;
use super::{Adapter, Heard, Verdict, judge};
use crate::process::{AgentEnd, TreeEnd};

/// What a recording was of: its exit code (none for SIGKILL), and the verdict on it.
type Recorded = (&'static str, Option<i32>, &'static str);

const CLAUDE: [Recorded; 18] = [
    ("files", Some(0), "good"),
    ("failing_tool", Some(0), "good"),
    ("resumed", Some(0), "good"),
    ("two_messages", Some(0), "good"),
    ("message_midway", Some(0), "good"),
    ("refused_400", Some(1), "AGENT_ERROR"),
    ("refused_401", Some(1), "Login"),
    ("refused_401_login", Some(1), "Login"),
    ("refused_429", Some(1), "Rate"),
    ("refused_429_reset", Some(1), "Usage"),
    ("refused_529", Some(1), "Overload"),
    ("broken", Some(1), "AGENT_ERROR"),
    ("killed", None, "AGENT_KILLED"),
    ("interrupted", Some(1), "AGENT_ERROR"),
    ("max_turns", Some(1), "AGENT_ERROR"),
    ("max_budget", Some(1), "over budget"),
    ("unknown_conversation", Some(1), "AGENT_ERROR"),
    ("failing_tool", Some(3), "AGENT_FAILED"),
];

const CODEX: [Recorded; 15] = [
    ("files", Some(0), "good"),
    ("failing_tool", Some(0), "good"),
    ("resumed", Some(0), "good"),
    ("refused_400", Some(1), "AGENT_ERROR"),
    ("refused_401", Some(1), "Login"),
    ("refused_429", Some(1), "Rate"),
    ("refused_429_reset", Some(1), "Usage"),
    ("refused_429_reset_days", Some(1), "Usage"),
    ("refused_503", Some(1), "Overload"),
    ("refused_529", Some(1), "Overload"),
    ("broken", Some(1), "Rate"),
    ("broken_quota", Some(1), "Usage"),
    ("killed", None, "AGENT_KILLED"),
    ("interrupted", Some(1), "AGENT_FAILED"),
    ("terminated", Some(143), "AGENT_FAILED"),
];

fn recorded(client: AgentClient, path: &str) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded");
    std::fs::read_to_string(format!("{root}/{}/{path}.jsonl", client.as_str())).unwrap()
}

fn hear(
    adapter: &dyn Adapter,
    client: AgentClient,
    name: &str,
    before: TokenUsage,
) -> (Heard, Vec<AgentEvent>) {
    let mut heard = Heard { used_before: before, ..Heard::default() };
    let lines = recorded(client, name);
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        adapter.read(&line, &mut heard).unwrap_or_else(|| panic!("{name}: {line} is not known"))
    };
    let events = lines.lines().flat_map(read).collect();
    (heard, events)
}

fn verdict(adapter: &dyn Adapter, heard: &Heard, exit_code: Option<i32>) -> String {
    let tree = TreeEnd::default();
    let end = match exit_code {
        Some(code) => AgentEnd::Exited { code, tree },
        None => AgentEnd::Signaled { signal: 9, tree },
    };
    match judge(adapter, heard, &end) {
        Ok(()) => "good".to_owned(),
        Err(Verdict::Failed(failure)) => failure.reason.code.to_owned(),
        Err(Verdict::Limited(limit)) => format!("{:?}", limit.kind),
        Err(Verdict::OverBudget) => "over budget".to_owned(),
    }
}

fn verdicts(adapter: &dyn Adapter, client: AgentClient, cases: &[Recorded]) {
    for (name, exit_code, expected) in cases {
        let (heard, _) = hear(adapter, client, name, TokenUsage::default());
        assert_eq!(verdict(adapter, &heard, *exit_code), *expected, "{name}: {heard:?}");
    }
}

#[test]
fn ends_of_claude_code_are_told_apart() {
    verdicts(&Claude, AgentClient::Claude, &CLAUDE);
}

#[test]
fn ends_of_codex_are_told_apart() {
    verdicts(&Codex, AgentClient::Codex, &CODEX);
}

#[test]
fn every_recording_is_judged() {
    for (client, cases) in [(AgentClient::Claude, &CLAUDE[..]), (AgentClient::Codex, &CODEX[..])] {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded");
        for entry in std::fs::read_dir(format!("{root}/{}", client.as_str())).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let Some(name) = name.strip_suffix(".jsonl") else { continue };
            assert!(cases.iter().any(|(case, ..)| *case == name), "{name}");
        }
    }
}

#[test]
fn a_failing_tool_is_a_call_and_its_result() {
    for (adapter, client) in
        [(&Claude as &dyn Adapter, AgentClient::Claude), (&Codex as &dyn Adapter, AgentClient::Codex)]
    {
        let (_, events) = hear(adapter, client, "failing_tool", TokenUsage::default());
        let (mut calls, mut results) = (Vec::new(), Vec::new());
        for event in &events {
            if let AgentEvent::ToolUse { id, input, .. } = event {
                calls.push((id, input.to_string()));
            } else if let AgentEvent::ToolResult { id, text, is_error } = event {
                results.push((id, text, is_error));
            }
        }
        let ([(call, input)], [(result, text, is_error)]) = (&calls[..], &results[..]) else {
            panic!("{events:#?}")
        };
        assert!(call == result && input.contains("echo oops") && text.contains("oops") && **is_error);
    }
}

#[test]
fn what_a_resumed_attempt_used_is_its_own() {
    let (heard, _) = hear(&Claude, AgentClient::Claude, "resumed", TokenUsage::default());
    let before = Claude.used_in(recorded(AgentClient::Claude, "conversations/killed").as_bytes());
    assert_eq!((before, heard.spend.tokens.input_tokens), (TokenUsage::default(), 300));
    let before = Codex.used_in(recorded(AgentClient::Codex, "conversations/killed").as_bytes());
    let (heard, _) = hear(&Codex, AgentClient::Codex, "resumed", before);
    let all = Codex.used_in(recorded(AgentClient::Codex, "conversations/resumed").as_bytes());
    assert!(before.input_tokens > 0, "{before:?}");
    assert_eq!(heard.spend.tokens, all.since(&before));
}
