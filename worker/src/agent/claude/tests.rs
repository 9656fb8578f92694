use super::*;
use crate::agent::verdict::{Verdict, judge};
use crate::process::{AgentEnd, TreeEnd};

/// Lines as the client writes them, shortened: a turn with a tool, whose first message comes in two lines.
const TURN: &str = r#"
{"type":"system","subtype":"init","cwd":"/w","session_id":"01890a5d-ac96-774b-bcce-b302099a8057","tools":["Bash"],"model":"m","permissionMode":"default"}
{"type":"assistant","message":{"id":"msg_1","role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"x"}],"usage":{"input_tokens":10,"cache_creation_input_tokens":5,"cache_read_input_tokens":100,"output_tokens":1}},"session_id":"s"}
{"type":"assistant","message":{"id":"msg_1","role":"assistant","content":[{"type":"text","text":"I look."},{"type":"tool_use","id":"toolu_1","name":"Bash","input":{"command":"ls"}}],"usage":{"input_tokens":10,"cache_creation_input_tokens":5,"cache_read_input_tokens":100,"output_tokens":20}},"session_id":"s"}
{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"a\nb"}],"is_error":true}]},"session_id":"s"}
{"type":"assistant","message":{"id":"msg_2","role":"assistant","content":[{"type":"text","text":"Done."}],"usage":{"input_tokens":3,"output_tokens":4}},"session_id":"s"}
{"type":"result","subtype":"success","is_error":false,"result":"Done.","session_id":"s","total_cost_usd":0.25,"usage":{"input_tokens":13,"cache_creation_input_tokens":5,"cache_read_input_tokens":100,"output_tokens":24},"num_turns":2}
"#;

fn hear(lines: &str) -> (Heard, Vec<AgentEvent>) {
    let mut heard = Heard::default();
    let lines = lines.trim().lines().map(|line| serde_json::from_str(line).unwrap());
    let events = lines.flat_map(|line: Value| Claude.read(&line, &mut heard).unwrap()).collect();
    (heard, events)
}

fn exit(code: i32) -> AgentEnd {
    AgentEnd::Exited { code, tree: TreeEnd::default() }
}

fn failure(lines: &str, code: i32) -> (&'static str, String) {
    match judge(&Claude, &hear(lines).0, &exit(code)) {
        Err(Verdict::Failed(failure)) => (failure.reason.code, failure.reason.message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_turn_is_read_into_events() {
    let (heard, events) = hear(TURN);
    let text = |text: &str| AgentEvent::Text { text: text.to_owned() };
    let told: Vec<_> =
        events.iter().filter(|event| !matches!(event, AgentEvent::Usage(_))).cloned().collect();
    let expected = [
        AgentEvent::Session { id: "01890a5d-ac96-774b-bcce-b302099a8057".to_owned() },
        AgentEvent::Thinking { text: "hm".to_owned() },
        text("I look."),
        AgentEvent::ToolUse {
            id: "toolu_1".to_owned(),
            name: "Bash".to_owned(),
            input: json!({"command": "ls"}),
        },
        AgentEvent::ToolResult { id: "toolu_1".to_owned(), text: "a\nb".to_owned(), is_error: true },
        text("Done."),
        AgentEvent::Cost { usd: 0.25 },
        AgentEvent::Result { text: "Done.".to_owned(), is_error: false },
    ];
    assert_eq!(told, expected);
    assert_eq!(heard.spend.cost_usd, Some(0.25));
    judge(&Claude, &heard, &exit(0)).unwrap();
}

#[test]
fn a_message_in_several_lines_is_counted_once_and_a_turn_that_is_cut_off_counts() {
    let before_the_end: Vec<_> = TURN.trim().lines().take(5).collect();
    let (open, _) = hear(&before_the_end.join("\n"));
    let (ended, _) = hear(TURN);
    let all = TokenUsage { input_tokens: 18, cached_input_tokens: 100, output_tokens: 24 };
    assert_eq!((open.spend.tokens, ended.spend.tokens), (all, all));
    assert_eq!(open.spend.cost_usd, None);
}

#[test]
fn models_are_summed_up_and_cost_is_that_of_the_process() {
    let second = r#"{"type":"result","subtype":"success","is_error":false,"result":"x","total_cost_usd":0.75,"usage":{"input_tokens":1},"modelUsage":{"a":{"inputTokens":30,"outputTokens":5,"cacheReadInputTokens":7,"cacheCreationInputTokens":2},"b":{"inputTokens":1,"outputTokens":1}}}"#;
    let (heard, _) = hear(&format!("{TURN}\n{second}").replace("\n\n", "\n"));
    assert_eq!(heard.spend.cost_usd, Some(0.75));
    assert_eq!(heard.spend.tokens, TokenUsage { input_tokens: 33, cached_input_tokens: 7, output_tokens: 6 });
}

#[test]
fn an_error_inside_a_success_is_no_success() {
    let line = r#"{"type":"result","subtype":"success","is_error":true,"api_error_status":400,"result":"API Error: 400 prompt is too long","total_cost_usd":0}"#;
    assert_eq!(
        failure(line, 1),
        ("AGENT_ERROR", "the agent ended with an error: API Error: 400 prompt is too long".to_owned())
    );
    assert_eq!(failure(line, 0).0, "AGENT_ERROR");
    let line = r#"{"type":"result","subtype":"error_during_execution","errors":["it broke"]}"#;
    assert_eq!(failure(line, 1).1, "the agent ended with an error: it broke");
}

#[test]
fn an_end_without_a_result_is_no_success() {
    let lines: Vec<_> = TURN.trim().lines().take(3).collect();
    assert_eq!(failure(&lines.join("\n"), 0).0, "AGENT_NO_RESULT");
    assert_eq!(failure(&lines.join("\n"), 1).0, "AGENT_FAILED");
    assert_eq!(failure(TURN, 3).0, "AGENT_FAILED", "a good result and a bad exit");
    let killed = AgentEnd::Signaled { signal: 9, tree: TreeEnd::default() };
    assert!(
        matches!(judge(&Claude, &hear("").0, &killed), Err(Verdict::Failed(failure)) if failure.reason.code == "AGENT_KILLED")
    );
}

#[test]
fn limits_are_an_end_of_their_own_and_a_line_before_may_tell_the_time() {
    let result = |status: u16, words: &str| {
        json!({"type": "result", "subtype": "success", "is_error": true, "api_error_status": status, "result": words})
            .to_string()
    };
    for (status, kind) in [(401, LimitKind::Login), (429, LimitKind::Rate), (529, LimitKind::Overload)] {
        let (heard, _) = hear(&result(status, "API Error"));
        let verdict = judge(&Claude, &heard, &exit(1));
        assert!(matches!(&verdict, Err(Verdict::Limited(limit)) if limit.kind == kind), "{verdict:?}");
    }
    let at = Utc::now().timestamp() + 3600;
    let told = json!({"type": "rate_limit_event", "rate_limit_info": {"status": "rejected", "resetsAt": at, "rateLimitType": "five_hour"}});
    let (heard, _) = hear(&format!("{told}\n{}", result(429, "You've hit your limit")));
    let limit = heard.limit.clone().unwrap();
    assert_eq!((limit.kind, limit.until.map(|until| until.timestamp())), (LimitKind::Usage, Some(at)));
    // What was said before a turn that ended well is over.
    let good = r#"{"type":"result","subtype":"success","is_error":false,"result":"ok"}"#;
    judge(&Claude, &hear(&format!("{told}\n{good}")).0, &exit(0)).unwrap();
}

#[test]
fn a_spent_budget_is_told() {
    let line = r#"{"type":"result","subtype":"error_max_budget_usd","is_error":true,"total_cost_usd":1.5}"#;
    assert!(matches!(judge(&Claude, &hear(line).0, &exit(1)), Err(Verdict::OverBudget)));
}

#[test]
fn a_conversation_belongs_where_the_new_working_directory_says() {
    let place = Claude.conversation().unwrap();
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let file = format!("{id}.jsonl");
    assert_eq!((place.session_of)(&file), Some(id));
    assert_eq!((place.session_of)("agent-01890a5d.jsonl"), None);
    let path = (place.path_for)(&format!("-old-tree/{file}"), Path::new("/data/w_1.x/tree"));
    assert_eq!(path, format!("-data-w-1-x-tree/{file}"));
}
