//! Loop mode: agents that are run again until their task is finished, or until another round is of no use.

use serde_json::{Value, json};

use super::clients::{programs_of, stack, texts};
use super::stack::Stack;

/// Counts the rounds in a file of the tree, as `$n`.
const COUNT: &str = "n=$(($(cat n 2> /dev/null || echo 0) + 1)); echo $n > n; ";

fn task(stack: &Stack, script: &str, mode: Value) -> Value {
    let mut body = stack.script("a loop", script);
    body["agent"]["loop"] = mode;
    body
}

fn gate(ready: &str, reason: &str) -> String {
    format!("echo 'COMPLETION_GATE: {{\"ready\": '{ready}', \"reason\": \"{reason}\"}}'")
}

/// What was told of each round: its number, whether the task was finished, and the words.
async fn rounds(stack: &Stack, id: &str) -> Vec<(i64, bool, String)> {
    let events = stack.events(id).await;
    let told =
        events.iter().filter(|event| event["data"]["code"] == "LOOP_ROUND").map(|event| &event["data"]);
    told.map(|data| {
        let words = data["message"].as_str().unwrap().to_owned();
        (data["round"].as_i64().unwrap(), data["ready"].as_bool().unwrap(), words)
    })
    .collect()
}

/// Waits for a task to fail for good in its first attempt.
async fn gives_up(stack: &Stack, body: &Value, code: &str, rounds_begun: usize) -> Value {
    let id = stack.submit(body).await;
    let end = stack.wait_for_end(&id).await;
    assert_eq!((&end["status"], &end["statusCode"]), (&"failed".into(), &code.into()), "{end:#}");
    assert_eq!((&end["retryCount"], end["attempts"].as_array().unwrap().len()), (&0.into(), 1), "{end:#}");
    assert_eq!(rounds(stack, &id).await.len(), rounds_begun, "{end:#}");
    end
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_run_again_until_it_says_that_it_is_ready() {
    let stack = Stack::start(1, 1).await;
    let script = format!(
        "{COUNT} ready=false; [ $n -lt 3 ] || ready=true; echo \"$MAKIMA_ROUND: ${{MAKIMA_ROUND_PROMPT:-}}\" >> told; {}",
        gate("$ready", "not yet")
    );
    let id = stack.submit(&task(&stack, &script, json!({}))).await;
    let end = stack.wait_for_end(&id).await;
    assert_eq!((&end["status"], &end["epoch"]), (&"done".into(), &1.into()), "{end:#}");
    let branch = end["resultBranch"].as_str().unwrap();
    assert_eq!(stack.repository.file(branch, "n"), "3\n");
    let told = stack.repository.file(branch, "told");
    assert!(told.starts_with("1: \n2: This is round 2 of at most 20.") && told.contains("not yet"), "{told}");
    let rounds = rounds(&stack, &id).await;
    let numbers: Vec<_> = rounds.iter().map(|(round, ready, _words)| (*round, *ready)).collect();
    assert_eq!(numbers, [(1, false), (2, false), (3, true)]);
    assert_eq!(rounds[0].2, "round 1 of 20: the task is not finished: not yet");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_leads_nowhere_ends_with_its_reason() {
    let stack = Stack::start(1, 1).await;
    let still = task(&stack, &gate("false", "thinking"), json!({}));
    let end = gives_up(&stack, &still, "LOOP_NO_CHANGE", 3).await;
    let words = "3 rounds in a row changed no file; the last one: thinking";
    assert_eq!(
        (&end["statusMessage"], &end["attempts"][0]["outcome"]),
        (&words.into(), &"agent_failed".into())
    );
    let failing = task(&stack, &format!("{COUNT} exit 3"), json!({}));
    let end = gives_up(&stack, &failing, "LOOP_SAME_ERROR", 5).await;
    assert!(end["statusMessage"].as_str().unwrap().ends_with("the agent ended with exit code 3"), "{end:#}");
    let endless = task(&stack, COUNT, json!({"maxRounds": 4}));
    let end = gives_up(&stack, &endless, "LOOP_ROUNDS_SPENT", 4).await;
    assert!(end["statusMessage"].as_str().unwrap().contains("wrote no COMPLETION_GATE line"), "{end:#}");
    assert_eq!(end["lastCheckpoint"]["filesChanged"], 1, "its work is kept: {end:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verify_command_decides_whatever_the_agent_says() {
    let stack = Stack::start(1, 1).await;
    let script = format!("{COUNT} {}", gate("true", "I say so"));
    let verify =
        json!({"verify": ["sh", "-c", "echo \"looked at $(cat n)\"; touch seen; test \"$(cat n)\" -ge 2"]});
    let id = stack.submit(&task(&stack, &script, verify)).await;
    let end = stack.wait_for_end(&id).await;
    assert_eq!(end["status"], "done", "{end:#}");
    let rounds = rounds(&stack, &id).await;
    assert_eq!(rounds.len(), 2, "{rounds:?}");
    assert!(rounds[0].2.contains("exit code 1; its last lines:\nlooked at 1"), "{rounds:?}");
    let page = stack.get(&format!("/mesh/tasks/{id}/output")).await;
    assert!(page.to_string().contains("looked at 2"), "its output is in the log: {page:#}");
    let same = task(&stack, COUNT, json!({"verify": ["sh", "-c", "echo broken; exit 9"]}));
    let end = gives_up(&stack, &same, "LOOP_SAME_ERROR", 5).await;
    assert!(end["statusMessage"].as_str().unwrap().contains("broken"), "{end:#}");
    // What the verify command leaves in the tree is no progress of the agent's.
    let still = task(
        &stack,
        "true",
        json!({"verify": ["sh", "-c", "date +%N > seen; date +%N | tr 0-9 a-j; exit 9"]}),
    );
    gives_up(&stack, &still, "LOOP_NO_CHANGE", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_goes_on_with_its_conversation_from_round_to_round() {
    let programs = programs_of(&[("claude", include_str!("claude.sh"))]);
    let stack = stack(1, programs.path()).await;
    let say = |ready: bool| {
        format!(
            r#"say m$n 'At '$n'\nCOMPLETION_GATE: {{\"ready\": {ready}, \"reason\": \"of round '$n'\"}}'; result 0.25"#
        )
    };
    let mut body = task(&stack, "", json!({"maxRounds": 5}));
    body["plan"] = format!("{COUNT} if [ $n -lt 3 ]; then {}; else {}; fi", say(false), say(true)).into();
    body["agent"] = json!({"kind": "claude", "loop": {"maxRounds": 5}});
    let id = stack.submit(&body).await;
    let end = stack.wait_for_end(&id).await;
    assert_eq!(end["status"], "done", "{end:#} {:#?}", stack.events(&id).await);
    assert_eq!((&end["spent"]["costUsd"], rounds(&stack, &id).await.len()), (&0.75.into(), 3));
    let said = texts(&stack.get(&format!("/mesh/tasks/{id}/conversation")).await["messages"]);
    assert!(said[0].contains("You work on this in rounds."), "{said:#?}");
    let again =
        "This is round 3 of at most 5. The task is not finished yet, as of the round before: of round 2\n";
    assert!(said.iter().any(|text| text.starts_with(again)), "{said:#?}");
}
