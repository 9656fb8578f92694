//! Tasks for a client that drives a model, with a stand-in for it: what its lines say, what it costs, its limits, and its
//! conversation, which outlives its worker.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::stack::{Options, Stack};

/// A directory with the stand-in.
fn programs() -> TempDir {
    programs_of(&[("claude", include_str!("claude.sh"))])
}

/// A directory with stand-ins.
pub(crate) fn programs_of(scripts: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let all_may_run = || std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), all_may_run()).unwrap();
    for (name, script) in scripts {
        let program = directory.path().join(name);
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, all_may_run()).unwrap();
    }
    directory
}

pub(crate) async fn stack(workers: u32, programs: &Path) -> Stack {
    Stack::start_with(Options { workers, slots: 1, durable: false, programs: Some(programs.to_owned()) })
        .await
}

fn task(stack: &Stack, plan: &str) -> Value {
    let mut body = stack.script("for a client", "");
    body["agent"] = json!({"kind": "claude"});
    body["plan"] = plan.into();
    body
}

/// What `makima logs` shows.
fn logs(stack: &Stack, args: &[&str]) -> String {
    String::from_utf8(stack.makima(&[&["logs"], args].concat()).stdout).unwrap()
}

/// What was understood of a task's output.
async fn parsed(stack: &Stack, id: &str) -> Vec<Value> {
    let page = stack.get(&format!("/mesh/tasks/{id}/output")).await;
    let lines = page["lines"].as_array().unwrap().clone();
    lines.iter().filter_map(|line| line["parsed"].as_array()).flatten().cloned().collect()
}

pub(crate) fn texts(messages: &Value) -> Vec<String> {
    let content =
        messages.as_array().unwrap().iter().flat_map(|message| message["content"].as_array().unwrap());
    content.filter_map(|part| part["text"].as_str()).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_told_in_events_with_what_it_cost() {
    let programs = programs();
    let stack = stack(1, programs.path()).await;
    let plan = "say m1 looking; call Bash ls a.txt; echo work > work.txt; echo odd; say m2 done; result 0.25";
    let id = stack.submit(&task(&stack, plan)).await;
    let end = stack.wait_for_end(&id).await;
    assert_eq!(end["status"], "done", "{end:#}");
    assert_eq!(end["labels"], json!(["agent:claude"]));
    let spent = json!({"inputTokens": 20, "cachedInputTokens": 0, "outputTokens": 10, "costUsd": 0.25});
    assert_eq!((&end["spent"], &end["attempts"][0]["spent"]), (&spent, &spent));
    assert_eq!(stack.repository.file(end["resultBranch"].as_str().unwrap(), "work.txt"), "work\n");

    let events = parsed(&stack, &id).await;
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let expected =
        ["session", "text", "usage", "toolUse", "toolResult", "text", "usage", "usage", "cost", "result"];
    assert_eq!(kinds, expected, "{events:#?}");
    assert_eq!(events[3]["input"], json!({"command": "ls"}));
    let lines = stack.get(&format!("/mesh/tasks/{id}/output")).await;
    let odd = lines["lines"].as_array().unwrap().iter().find(|line| line["text"] == "odd").cloned().unwrap();
    assert!(odd.get("parsed").is_none(), "an unknown line stays as it is");
    let shown = logs(&stack, &[&id]);
    assert!(shown.contains("looking\n> Bash: ls\n  | a.txt\nodd\ndone\n= 0.2500 USD so far\n"), "{shown}");
    assert!(logs(&stack, &[&id, "--raw"]).contains("\"type\":\"tool_result\""));
    let workers = stack.get("/mesh/workers").await;
    assert!(workers.to_string().contains("agent:claude"), "{workers:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_worker_goes_on_with_the_conversation_of_one_that_was_killed() {
    let programs = programs();
    let stack = stack(2, programs.path()).await;
    let gate = stack.shared("gate");
    let plan = format!(
        "if [ -n \"$resumed\" ]; then grep -q remember-me \"$conversation\"; cp one.txt two.txt; say m2 resumed; result 0.5; \
         else say m1 remember-me; echo one > one.txt; while [ ! -e '{}' ]; do sleep 0.05; done; fi",
        gate.display()
    );
    let id = stack.submit(&task(&stack, &plan)).await;
    stack.wait_for_checkpoint(&id, 1, 1).await;
    // The conversation is stored behind its checkpoint.
    loop {
        let conversation = stack.get(&format!("/mesh/tasks/{id}/conversation")).await;
        if texts(&conversation["messages"]).contains(&"remember-me".to_owned()) {
            assert_eq!(
                (&conversation["client"], &conversation["sessionId"]),
                (&"claude".into(), &id.clone().into())
            );
            break;
        }
    }
    let (_, pid) = stack.worker_of(&id).await;
    kill(pid, Signal::SIGKILL).unwrap();

    let end = stack.wait_for_end(&id).await;
    assert_eq!(end["status"], "done", "{end:#}");
    assert_eq!(end["attempts"].as_array().unwrap().len(), 2, "{end:#}");
    assert_eq!(stack.repository.file(end["resultBranch"].as_str().unwrap(), "two.txt"), "one\n");
    let conversation = stack.get(&format!("/mesh/tasks/{id}/conversation")).await;
    let said = texts(&conversation["messages"]);
    assert!(said.contains(&"remember-me".to_owned()) && said.contains(&"resumed".to_owned()), "{said:?}");
    assert!(said.iter().any(|text| text.starts_with("You were interrupted")), "{said:?}");
    assert_eq!(end["spent"]["inputTokens"], 20, "both attempts: {end:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_makes_the_task_wait_and_spends_no_retry() {
    let programs = programs();
    let stack = stack(1, programs.path()).await;
    let met = stack.shared("met");
    let plan = format!(
        "if [ -e '{0}' ]; then say m1 on; result 0.1; else echo > '{0}'; fail 429 'Rate limited, try again in 1 hour'; fi",
        met.display()
    );
    let mut body = task(&stack, &plan);
    body["maxRetries"] = 0.into();
    let id = stack.submit(&body).await;
    stack.wait_for_status(&id, 1, "pending").await;
    let waits = stack.task(&id).await;
    assert_eq!(
        (&waits["statusCode"], &waits["retryCount"]),
        (&"AGENT_RATE_LIMITED".into(), &0.into()),
        "{waits:#}"
    );
    let words = waits["waitingFor"].as_str().unwrap();
    assert!(words.starts_with("its agent's rate limit to end: tried again at "), "{words}");
    assert_eq!(waits["attempts"][0]["outcome"], "agent_limited");
    stack.post(&format!("/mesh/tasks/{id}/start")).await;
    let end = stack.wait_for_end(&id).await;
    assert_eq!((&end["status"], &end["retryCount"]), (&"done".into(), &0.into()), "{end:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_budget_interrupts_the_task_until_it_is_raised() {
    let programs = programs();
    let stack = stack(1, programs.path()).await;
    let plan = "if [ -n \"$resumed\" ]; then grep -q first \"$conversation\"; cp one.txt two.txt; say m2 second; result 0.1; \
                else echo one > one.txt; say m1 first; sleep 1000; fi";
    let mut body = task(&stack, plan);
    body["maxTokens"] = 15.into();
    let id = stack.submit(&body).await;
    stack.wait_for_status(&id, 1, "interrupted").await;
    let stopped = stack.task(&id).await;
    assert_eq!(
        (&stopped["statusCode"], &stopped["attempts"][0]["outcome"]),
        (&"OVER_BUDGET".into(), &"over_budget".into())
    );
    assert!(stopped["statusMessage"].as_str().unwrap().contains("15 of 15 tokens"), "{stopped:#}");
    assert_eq!(stopped["waitingFor"], "somebody to raise what it may spend and start it");
    for command in [["wait", &id].as_slice(), &["logs", "-f", &id]] {
        let watched = stack.makima(command);
        let said = String::from_utf8(watched.stderr).unwrap();
        assert_eq!(watched.status.code(), Some(3), "{said}");
        let short = &id[id.len() - 8..];
        let raise =
            format!("`makima edit {short} --max-tokens N` raises its cap, `makima start {short}` goes on");
        assert!(said.contains("15 of 15 tokens") && said.contains(&raise), "{said}");
    }

    // Without more to spend it does not get far.
    stack.post(&format!("/mesh/tasks/{id}/start")).await;
    stack.wait_for_status(&id, 2, "interrupted").await;
    let changes = json!({"version": stack.task(&id).await["version"], "maxTokens": 1000});
    stack.put(&format!("/mesh/tasks/{id}"), &changes).await;
    stack.post(&format!("/mesh/tasks/{id}/start")).await;
    let end = stack.wait_for_end(&id).await;
    assert_eq!((&end["status"], &end["spent"]["inputTokens"]), (&"done".into(), &20.into()), "{end:#}");
    assert_eq!(stack.repository.file(end["resultBranch"].as_str().unwrap(), "two.txt"), "one\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_inside_a_success_fails_and_a_missing_client_is_named() {
    let programs = programs();
    let stack = stack(1, programs.path()).await;
    let mut body = task(&stack, "say m1 hm; fail 400 'API Error: 400 too long'");
    body["maxRetries"] = 0.into();
    let failed = stack.submit(&body).await;
    body["agent"] = json!({"kind": "codex", "model": "gpt-5"});
    let waiting = stack.submit(&body).await;
    let end = stack.wait_for_end(&failed).await;
    assert_eq!((&end["status"], &end["statusCode"]), (&"failed".into(), &"AGENT_ERROR".into()), "{end:#}");
    assert_eq!(end["statusMessage"], "the agent ended with an error: API Error: 400 too long");
    let waiting = stack.task(&waiting).await;
    assert_eq!(waiting["waitingFor"], "a worker that offers agent:codex: none does", "{waiting:#}");
}
