//! Messages to agents that run, with stand-ins for the clients: each is once in the conversation, in order, whenever it
//! comes.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::clients::{programs_of, stack, texts};
use super::stack::Stack;

fn programs() -> TempDir {
    programs_of(&[("claude", include_str!("claude.sh")), ("codex", include_str!("codex.sh"))])
}

fn task(stack: &Stack, kind: &str, plan: &str) -> Value {
    let mut body = stack.script("to be talked to", "");
    body["agent"] = json!({"kind": kind});
    body["plan"] = plan.into();
    body["maxRetries"] = 0.into();
    body
}

/// Says something by `makima say`, as an argument or on standard input.
pub(crate) fn say(stack: &Stack, id: &str, text: &str, on_stdin: bool) {
    let said = try_to_say(stack, id, text, on_stdin);
    let words = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.success() && words.contains(" waits for the agent"), "{words}");
}

fn try_to_say(stack: &Stack, id: &str, text: &str, on_stdin: bool) -> Output {
    let client = stack.data_dir().join("client.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_makima"));
    command.args(["say", &id[28..]]).arg("--client").arg(client);
    if !on_stdin {
        command.arg(text);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut saying = command.spawn().unwrap();
    let mut stdin = saying.stdin.take().unwrap();
    if on_stdin {
        stdin.write_all(text.as_bytes()).unwrap();
    }
    drop(stdin);
    saying.wait_with_output().unwrap()
}

async fn wait_for_line(stack: &Stack, id: &str, line: &str) {
    stack.wait_for(id, line, |event| event["kind"] == "output" && event["data"]["text"] == line).await;
}

/// Waits until the conversation is saved with these words.
async fn wait_for_saved(stack: &Stack, id: &str, words: &str) {
    while !conversation(stack, id).await.iter().any(|text| text == words) {}
}

async fn conversation(stack: &Stack, id: &str) -> Vec<String> {
    texts(&stack.get(&format!("/mesh/tasks/{id}/conversation")).await["messages"])
}

/// Where in the conversation each of these stands, each of them once. The plan, which has words of its own, is left out.
async fn places(stack: &Stack, id: &str, words: &[&str]) -> Vec<usize> {
    let plan = stack.task(id).await["plan"].as_str().unwrap().to_owned();
    let all: Vec<_> = conversation(stack, id).await.iter().map(|text| text.replace(&plan, "PLAN")).collect();
    let place = |word: &&str| {
        let found: Vec<_> = (0..all.len()).filter(|place| all[*place].contains(word)).collect();
        assert_eq!(found.len(), 1, "{word} in {all:#?}");
        assert_eq!(all[found[0]].matches(word).count(), 1, "{all:#?}");
        found[0]
    };
    words.iter().map(place).collect()
}

/// The attempts in which the messages were taken up.
pub(crate) async fn delivered(stack: &Stack, id: &str) -> Vec<Value> {
    let list = stack.get(&format!("/mesh/tasks/{id}/messages")).await;
    let messages = list["messages"].as_array().unwrap();
    assert!(messages.iter().zip(1..).all(|(message, number)| message["number"] == number), "{list:#}");
    messages.iter().map(|message| message["deliveredEpoch"].clone()).collect()
}

async fn done(stack: &Stack, id: &str) -> Value {
    let end = stack.wait_for_end(id).await;
    assert_eq!(end["status"], "done", "{end:#} {:#?}", stack.events(id).await);
    end
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_taken_up_while_the_agent_runs_in_order() {
    let programs = programs();
    let stack = stack(1, programs.path()).await;
    let id = stack
        .submit(&task(&stack, "claude", "say m1 begun; echo begun; hear; hear; say m2 end; result 0.1"))
        .await;
    wait_for_line(&stack, &id, "begun").await;
    say(&stack, &id, "the first \"words\"\nof two lines", false);
    say(&stack, &id, "the second words", true);
    let end = done(&stack, &id).await;
    let places =
        places(&stack, &id, &["begun", "the first \"words\"\nof two lines", "the second words"]).await;
    assert!(places.is_sorted(), "{places:?}");
    assert_eq!(delivered(&stack, &id).await, [1, 1]);
    assert_eq!(end["attempts"].as_array().unwrap().len(), 1);
    let late = try_to_say(&stack, &id, "too late", false);
    let words = String::from_utf8(late.stderr).unwrap();
    assert!(!late.status.success() && words.contains("the task is done"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_behind_the_result_has_a_round_of_its_own() {
    let programs = programs();
    let stack = stack(1, programs.path()).await;
    let gate = stack.shared("gate");
    let plan = format!(
        "if [ -n \"$resumed\" ]; then say m2 again; echo two > two.txt; result 0.5; \
         else say m1 first; result 0.25; cat > \"$HOME/rest\"; echo closed; \
         while [ ! -e '{}' ]; do sleep 0.05; done; fi",
        gate.display()
    );
    let id = stack.submit(&task(&stack, "claude", &plan)).await;
    wait_for_line(&stack, &id, "closed").await;
    say(&stack, &id, "one more thing", false);
    std::fs::write(&gate, "").unwrap();
    let end = done(&stack, &id).await;
    let places = places(&stack, &id, &["first", "one more thing", "again"]).await;
    assert!(places.is_sorted(), "{places:?}");
    assert_eq!(delivered(&stack, &id).await, [1]);
    let spent = json!({"inputTokens": 20, "cachedInputTokens": 0, "outputTokens": 10, "costUsd": 0.75});
    assert_eq!((&end["spent"], end["attempts"].as_array().unwrap().len()), (&spent, 1), "both rounds");
    assert_eq!(stack.repository.file(end["resultBranch"].as_str().unwrap(), "two.txt"), "two\n");
    let page = stack.get(&format!("/mesh/tasks/{id}/output")).await;
    let last = page["lines"].as_array().unwrap().last().unwrap()["text"].as_str().unwrap().to_owned();
    assert!(last.contains("0.5"), "the output of the second round is there: {page:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_before_the_start_waits_for_the_agent() {
    let programs = programs();
    let stack = stack(1, programs.path()).await;
    for (kind, plan) in [("claude", "hear; say m1 heard; result 0.1"), ("codex", "say heard")] {
        let mut body = task(&stack, kind, plan);
        body["runAt"] = "2999-01-01T00:00:00Z".into();
        let id = stack.submit(&body).await;
        say(&stack, &id, "mind the gap", false);
        stack.post(&format!("/mesh/tasks/{id}/start")).await;
        let end = done(&stack, &id).await;
        assert!(places(&stack, &id, &["mind the gap"]).await.is_sorted(), "{kind}");
        assert_eq!((delivered(&stack, &id).await, &end["epoch"]), (vec![1.into()], &1.into()), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_killed_worker_each_message_is_once_in_the_conversation() {
    let programs = programs();
    let stack = stack(2, programs.path()).await;
    let plan = "if [ -n \"$resumed\" ]; then hear; say m2 resumed; result 0.5; \
                else hear; say m1 remember; echo one > one.txt; sleep 1000; fi";
    let mut body = task(&stack, "claude", plan);
    body["maxRetries"] = 1.into();
    let id = stack.submit(&body).await;
    say(&stack, &id, "message number one", false);
    wait_for_saved(&stack, &id, "remember").await;
    assert_eq!(delivered(&stack, &id).await, [1]);
    say(&stack, &id, "message number two", false);
    let (_, pid) = stack.worker_of(&id).await;
    kill(pid, Signal::SIGKILL).unwrap();
    let end = done(&stack, &id).await;
    assert_eq!(end["attempts"].as_array().unwrap().len(), 2, "{end:#}");
    let words = ["message number one", "remember", "You were interrupted", "message number two", "resumed"];
    let places = places(&stack, &id, &words).await;
    assert!(places.is_sorted(), "{places:?}");
    assert_eq!(delivered(&stack, &id).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_takes_messages_by_rounds() {
    let programs = programs();
    let stack = stack(1, programs.path()).await;
    let gate = stack.shared("gate");
    let plan = format!(
        "if [ -n \"$resumed\" ]; then say again; \
         else say first; echo begun; while [ ! -e '{}' ]; do sleep 0.05; done; fi",
        gate.display()
    );
    let id = stack.submit(&task(&stack, "codex", &plan)).await;
    wait_for_line(&stack, &id, "begun").await;
    say(&stack, &id, "the same words", false);
    say(&stack, &id, "and others", false);
    assert_eq!(delivered(&stack, &id).await, [Value::Null, Value::Null], "it takes none while it runs");
    std::fs::write(&gate, "").unwrap();
    let end = done(&stack, &id).await;
    let places = places(&stack, &id, &["first", "the same words", "and others", "again"]).await;
    assert!(places.is_sorted(), "{places:?}");
    assert_eq!(delivered(&stack, &id).await, [1, 1]);
    assert_eq!(end["spent"]["inputTokens"], 20, "its own count goes on over the rounds: {end:#}");
}
