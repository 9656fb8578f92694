//! A turn that another worker takes up.

use makima_scripted_model::Step;
use nix::sys::signal::{Signal, kill};

use super::for_each_client;
use super::pool::{Client, Pool};

for_each_client!(a_killed_turn_goes_on_elsewhere_with_its_conversation_and_its_files);

async fn a_killed_turn_goes_on_elsewhere_with_its_conversation_and_its_files(client: Client) {
    is_killed_and_goes_on(&Pool::start(client, 2).await).await;
}

pub(super) async fn is_killed_and_goes_on(pool: &Pool) {
    // It changes the tree all the time, so that checkpoints come; a second attempt goes right through it.
    let until = "while [ $MAKIMA_EPOCH = 1 ]; do date +%N > tick.txt; sleep 0.2; done";
    let steps = [
        Step::run("echo one >> steps.txt; echo the-first-result"),
        Step::run(until),
        Step::run("echo three >> steps.txt"),
        Step::say("done"),
    ];
    let id = pool.stack.submit(&pool.task("take up", &steps)).await;
    let saved = saved_result(pool, &id).await;
    let before = pool.model.requests().len();

    let (_, worker) = pool.stack.worker_of(&id).await;
    kill(worker, Signal::SIGKILL).unwrap();
    let end = pool.stack.wait_for_end(&id).await;

    assert_eq!((&end["status"], end["retryCount"].as_i64()), (&"done".into(), Some(1)), "{end:#}");
    let attempts = end["attempts"].as_array().unwrap();
    assert_ne!(attempts[0]["workerId"], attempts[1]["workerId"]);
    assert!(attempts[1]["resumedFrom"].as_i64() >= Some(saved), "{attempts:?}");
    assert_eq!(pool.result(&end, "steps.txt"), "one\nthree\n", "no step was lost, none was done again");
    let requests = pool.model.requests();
    let resumed = &requests[before];
    assert!(resumed.tells("echo one >> steps.txt; echo the-first-result"), "{:#?}", resumed.messages());
    assert!(
        resumed.tool_results().any(|result| result.contains("the-first-result")),
        "{:#?}",
        resumed.messages()
    );
}

/// Waits until the first step's result is in a checkpoint's conversation, and its file with it. Returns the
/// checkpoint's number.
async fn saved_result(pool: &Pool, id: &str) -> i64 {
    for next in 1.. {
        let checkpoint = pool.stack.wait_for_checkpoint(id, 1, next).await;
        let number = checkpoint["data"]["number"].as_i64().unwrap();
        let conversation = pool.stack.get(&format!("/mesh/tasks/{id}/conversation")).await;
        if conversation.to_string().matches("the-first-result").count() > 2 {
            return number;
        }
    }
    unreachable!("checkpoints have numbers")
}
