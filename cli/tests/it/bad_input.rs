use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::stack::Stack;

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_run_fails_with_a_code_that_says_why() {
    let stack = Stack::start(1, 1).await;
    let missing = stack.shared("missing.git");
    let cases = [
        (json!({"repositoryUrl": missing}), "REPOSITORY_NOT_FOUND"),
        (json!({"baseBranch": "no-such-branch"}), "BRANCH_NOT_FOUND"),
        (
            json!({"agent": {"kind": "command", "argv": ["/no/such/program"]}, "maxRetries": 0}),
            "AGENT_NOT_STARTABLE",
        ),
        (
            json!({"agent": {"kind": "command", "argv": ["sh", "-c", "exit 7"]}, "maxRetries": 0}),
            "AGENT_FAILED",
        ),
        (
            json!({"agent": {"kind": "command", "argv": ["sleep", "1000"]}, "maxRetries": 0, "timeoutSecs": 1}),
            "TIMED_OUT",
        ),
    ];
    for (changes, code) in cases {
        let mut body = stack.script("bad", "true");
        for (field, value) in changes.as_object().unwrap() {
            body[field] = value.clone();
        }
        let id = stack.submit(&body).await;
        let end = stack.wait_for_end(&id).await;
        assert_eq!((&end["status"], &end["statusCode"]), (&"failed".into(), &code.into()), "{end:#}");
        assert!(!end["statusMessage"].as_str().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_refused_with_a_code_and_the_field() {
    let stack = Stack::start(1, 1).await;
    let body = |field: &str, value: serde_json::Value| {
        let mut body = stack.script("bad", "true");
        body[field] = value;
        body.to_string()
    };
    let cases = [
        (body("name", "two\nlines".into()), 422, "VALIDATION_FAILED"),
        (body("plan", "x".repeat(300 * 1024).into()), 422, "VALIDATION_FAILED"),
        (body("plan", "x".repeat(1024 * 1024).into()), 413, "PAYLOAD_TOO_LARGE"),
        (body("repositoryUrl", "ext::sh -c id".into()), 422, "VALIDATION_FAILED"),
        (body("colour", "red".into()), 422, "VALIDATION_FAILED"),
        (body("dependsOn", json!(["0190a0a0-0000-7000-8000-000000000000"])), 422, "DEPENDENCY_NOT_FOUND"),
        ("{no json".to_owned(), 400, "MALFORMED_JSON"),
    ];
    for (body, status, code) in cases {
        let shown: String = body.chars().take(200).collect();
        let (found, error) = stack.submit_raw(body).await;
        assert_eq!((found, &error["error"]["code"]), (status, &code.into()), "{error} for {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn submissions_are_taken_while_redis_is_away_and_run_when_it_is_back() {
    let stack = Stack::start(1, 1).await;
    let info: String = redis::cmd("INFO").arg("server").query(&mut stack.redis()).unwrap();
    let pid = info.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    let id = stack.submit(&stack.script("patient", "echo x > x.txt")).await;
    assert_eq!(stack.task(&id).await["status"], "queued");
    kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
    assert_eq!(stack.wait_for_end(&id).await["status"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_too_large_for_a_checkpoint_is_pushed_or_said_to_be_lost() {
    let stack = Stack::start(1, 1).await;
    let script = "head -c 12000000 /dev/urandom > large.bin";
    let pushed = stack.submit(&stack.script("pushed", script)).await;
    let mut body = stack.script("kept nowhere", script);
    body["completionAction"] = "none".into();
    let lost = stack.submit(&body).await;

    let pushed = stack.wait_for_end(&pushed).await;
    assert_eq!((&pushed["status"], &pushed["completionError"]), (&"done".into(), &json!(null)), "{pushed:#}");
    let large = format!("{}:large.bin", pushed["resultBranch"].as_str().unwrap());
    assert_eq!(stack.repository.git(&["cat-file", "-s", &large]).trim(), "12000000");

    let end = stack.wait_for_end(&lost).await;
    assert_eq!(end["status"], "done");
    assert!(end["completionError"].as_str().unwrap().starts_with("RESULT_NOT_KEPT"), "{end:#}");
    let warned =
        stack.events(&lost).await.into_iter().any(|event| event["data"]["code"] == "CHECKPOINT_TOO_LARGE");
    assert!(warned, "the owner is warned");
}
