use super::*;
use crate::agent::LimitKind;
use crate::agent::verdict::{Verdict, judge};
use crate::process::{AgentEnd, TreeEnd};

const TURN: &str = r#"
{"type":"thread.started","thread_id":"0199a213-81c0-7800-8aa1-bbab2a035a53"}
{"type":"turn.started"}
{"type":"item.completed","item":{"id":"item_0","type":"reasoning","text":"hm"}}
{"type":"item.started","item":{"id":"item_1","type":"command_execution","command":"bash -lc ls","aggregated_output":"","exit_code":null,"status":"in_progress"}}
{"type":"item.completed","item":{"id":"item_1","type":"command_execution","command":"bash -lc ls","aggregated_output":"a\nb","exit_code":2,"status":"failed"}}
{"type":"item.completed","item":{"id":"item_2","type":"file_change","changes":[{"path":"a","kind":"add"}],"status":"completed"}}
{"type":"item.updated","item":{"id":"item_3","type":"todo_list","items":[]}}
{"type":"item.completed","item":{"id":"item_4","type":"agent_message","text":"Done."}}
{"type":"turn.completed","usage":{"input_tokens":1200,"cached_input_tokens":200,"output_tokens":345}}
"#;

fn hear_after(used_before: TokenUsage, lines: &str) -> (Heard, Vec<AgentEvent>) {
    let mut heard = Heard { used_before, ..Heard::default() };
    let lines = lines.trim().lines().map(|line| serde_json::from_str(line).unwrap());
    let events = lines.flat_map(|line: Value| Codex.read(&line, &mut heard).unwrap()).collect();
    (heard, events)
}

fn hear(lines: &str) -> (Heard, Vec<AgentEvent>) {
    hear_after(TokenUsage::default(), lines)
}

fn exit(code: i32) -> AgentEnd {
    AgentEnd::Exited { code, tree: TreeEnd::default() }
}

#[test]
fn a_turn_is_read_into_events() {
    let (heard, events) = hear(TURN);
    let id = |n: u8| format!("item_{n}");
    let patch = json!({"changes": [{"path": "a", "kind": "add"}]});
    let usage = TokenUsage { input_tokens: 1000, cached_input_tokens: 200, output_tokens: 345 };
    let expected = [
        AgentEvent::Session { id: "0199a213-81c0-7800-8aa1-bbab2a035a53".to_owned() },
        AgentEvent::Thinking { text: "hm".to_owned() },
        AgentEvent::ToolUse { id: id(1), name: "shell".to_owned(), input: json!({"command": "bash -lc ls"}) },
        AgentEvent::ToolResult { id: id(1), text: "a\nb".to_owned(), is_error: true },
        AgentEvent::ToolUse { id: id(2), name: "apply_patch".to_owned(), input: patch },
        AgentEvent::ToolResult { id: id(2), text: String::new(), is_error: false },
        AgentEvent::Text { text: "Done.".to_owned() },
        AgentEvent::Usage(usage),
        AgentEvent::Result { text: String::new(), is_error: false },
    ];
    assert_eq!(events, expected);
    judge(&Codex, &heard, &exit(0)).unwrap();
}

#[test]
fn what_a_resumed_conversation_had_used_before_is_not_counted_again() {
    let saved = br#"{"timestamp":"t","type":"event_msg","payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":1000,"cached_input_tokens":200,"output_tokens":300}}}}
{"timestamp":"t","type":"event_msg","payload":{"type":"token_count","info":null}}
{"timestamp":"t","type":"response_item","payload":{"type":"message","role":"user","content":[]}}
{"cut o"#;
    let before = used_in(saved);
    assert_eq!(before, TokenUsage { input_tokens: 800, cached_input_tokens: 200, output_tokens: 300 });
    let (heard, _) = hear_after(before, TURN);
    assert_eq!(
        heard.spend.tokens,
        TokenUsage { input_tokens: 200, cached_input_tokens: 0, output_tokens: 45 }
    );
    assert_eq!(used_in(b"nothing"), TokenUsage::default());
}

#[test]
fn a_failed_turn_is_a_failure_or_a_limit() {
    let failed = |message: &str| {
        let error = json!({"type": "error", "message": message});
        let end = json!({"type": "turn.failed", "error": {"message": message}});
        judge(&Codex, &hear(&format!("{error}\n{end}")).0, &exit(1)).unwrap_err()
    };
    assert!(
        matches!(failed("stream disconnected"), Verdict::Failed(failure) if failure.reason.code == "AGENT_ERROR")
    );
    assert!(
        matches!(failed("You've hit your usage limit. Try again later."), Verdict::Limited(limit) if limit.kind == LimitKind::Usage)
    );
    assert!(
        matches!(failed("unexpected status 401 Unauthorized: bad key"), Verdict::Limited(limit) if limit.kind == LimitKind::Login)
    );
    assert!(
        matches!(failed("exceeded retry limit, last status: 429 Too Many Requests"), Verdict::Limited(limit) if limit.kind == LimitKind::Rate)
    );
}

#[test]
fn trouble_that_a_turn_got_over_is_forgotten() {
    let trouble = r#"{"type":"error","message":"Reconnecting... unexpected status 429 Too Many Requests"}"#;
    judge(&Codex, &hear(&format!("{trouble}\n{}", TURN.trim())).0, &exit(0)).unwrap();
    assert!(
        matches!(judge(&Codex, &hear("").0, &exit(0)), Err(Verdict::Failed(failure)) if failure.reason.code == "AGENT_NO_RESULT")
    );
}

#[test]
fn a_conversation_keeps_its_place() {
    let place = Codex.conversation().unwrap();
    let file = "rollout-2026-02-03T12-00-00-0199a213-81c0-7800-8aa1-bbab2a035a53.jsonl";
    assert_eq!((place.session_of)(file), Some("0199a213-81c0-7800-8aa1-bbab2a035a53"));
    assert_eq!((place.session_of)("rollout-x.jsonl"), None);
    let path = format!("2026/02/03/{file}");
    assert_eq!((place.path_for)(&path, std::path::Path::new("/w")), path);
}

#[test]
fn an_address_is_written_as_toml_writes_it() {
    assert!(own_provider("http://h/\"x\\").last().unwrap().contains(r#"base_url = "http://h/\"x\\""#));
}
