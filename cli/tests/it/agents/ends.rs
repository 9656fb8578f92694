//! Ends that are nobody's success, and what is left then.

use makima_scripted_model::Step;
use serde_json::json;

use super::for_each_client;
use super::pool::{Client, Pool, step};
use crate::process_tree;

for_each_client!(
    a_stop_ends_the_client_and_what_it_started,
    a_child_in_a_session_of_its_own_ends_with_the_turn,
    an_error_inside_a_success_fails_the_attempt,
    an_error_within_an_answer_fails_the_attempt,
);

async fn a_stop_ends_the_client_and_what_it_started(client: Client) {
    let pool = Pool::start(client, 1).await;
    let begun = pool.stack.shared("begun");
    nix::unistd::mkfifo(&begun, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    let steps = [Step::run(&format!("echo > '{}'; sleep 100000", begun.display())), Step::say("never")];
    let id = pool.stack.submit(&pool.task("stop", &steps)).await;
    tokio::task::spawn_blocking(move || std::fs::read(begun).unwrap()).await.unwrap();
    pool.stack.post(&format!("/mesh/tasks/{id}/stop")).await;
    let end = pool.stack.wait_for_end(&id).await;
    assert_eq!(end["status"], "cancelled", "{end:#}");
    // The only slot is free again once the agent is dead.
    let next = pool.carry_out(&pool.task("next", &[Step::say("done")])).await;
    assert_eq!((&next["status"], of_task(&id)), (&"done".into(), Vec::new()));
}

async fn a_child_in_a_session_of_its_own_ends_with_the_turn(client: Client) {
    let pool = Pool::start(client, 1).await;
    let steps =
        [Step::run("setsid sleep 100000 > /dev/null 2>&1 < /dev/null & echo left"), Step::say("done")];
    let end = pool.carry_out(&pool.task("leave a child", &steps)).await;
    assert_eq!(end["status"], "done", "{end:#}");
    assert_eq!(of_task(end["id"].as_str().unwrap()), [0; 0], "it is done once nothing of it lives");
}

async fn an_error_inside_a_success_fails_the_attempt(client: Client) {
    let refusal =
        json!({"refuse": 400, "kind": "invalid_request_error", "message": "this model takes no such thing"});
    fails(client, step(refusal)).await;
}

async fn an_error_within_an_answer_fails_the_attempt(client: Client) {
    fails(client, step(json!({"break": "server_error", "message": "something broke"}))).await;
}

async fn fails(client: Client, last: Step) {
    let pool = Pool::start(client, 1).await;
    let mut body = pool.task("fail", &[Step::run("echo one > one.txt"), last]);
    body["maxRetries"] = 0.into();
    let end = pool.carry_out(&body).await;
    assert_eq!(
        (&end["status"], &end["attempts"][0]["outcome"]),
        (&"failed".into(), &"agent_failed".into()),
        "{end:#}"
    );
    assert_eq!(end["statusCode"], "AGENT_ERROR", "{end:#}");
}

/// Returns the living processes of a task.
fn of_task(id: &str) -> Vec<i32> {
    process_tree::with_environment(&format!("MAKIMA_TASK_ID={id}"))
}
