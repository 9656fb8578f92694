use serde_json::json;

use super::stack::Stack;

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_is_away_costs_a_rest_and_no_retry() {
    let stack = Stack::start(1, 1).await;
    let mut body = stack.script("far away", "true");
    // Nobody listens there.
    body["repositoryUrl"] = "http://127.0.0.1:1/origin.git".into();
    body["maxRetries"] = 0.into();
    let id = stack.submit(&body).await;
    stack.wait_for_status(&id, 1, "pending").await;
    let task = stack.task(&id).await;
    assert_eq!((&task["status"], &task["retryCount"]), (&"pending".into(), &0.into()), "{task:#}");
    assert_eq!(task["statusCode"], "REPOSITORY_UNREACHABLE");
    assert_eq!(task["attempts"][0]["outcome"], "repository_unreachable");
    assert_eq!(task["attemptCounts"], json!({"repository_unreachable": 1}));
    assert!(task["waitingFor"].as_str().unwrap().starts_with("its time: "), "{task:#}");
}
