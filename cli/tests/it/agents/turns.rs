//! Turns that come to a good end.

use makima_scripted_model::Step;

use super::for_each_client;
use super::pool::{Client, Pool};

for_each_client!(a_turn_writes_files, a_failing_tool_is_told_to_the_model_and_fails_no_task);

async fn a_turn_writes_files(client: Client) {
    let pool = Pool::start(client, 1).await;
    let steps = [
        Step::run("mkdir made; echo one > made/one.txt"),
        Step::run("echo two > two.txt"),
        Step::say("done"),
    ];
    let end = pool.carry_out(&pool.task("write", &steps)).await;
    assert_eq!((&end["status"], end["retryCount"].as_i64()), (&"done".into(), Some(0)), "{end:#}");
    assert_eq!(pool.result(&end, "made/one.txt"), "one\n");
    assert_eq!(pool.result(&end, "two.txt"), "two\n");
}

async fn a_failing_tool_is_told_to_the_model_and_fails_no_task(client: Client) {
    let pool = Pool::start(client, 1).await;
    let steps = [Step::run("echo it-went-wrong >&2; exit 3"), Step::say("it failed")];
    let end = pool.carry_out(&pool.task("fail", &steps)).await;
    assert_eq!((&end["status"], end["retryCount"].as_i64()), (&"done".into(), Some(0)), "{end:#}");
    let requests = pool.model.requests();
    let mut results = requests.last().unwrap().tool_results();
    assert!(results.any(|result| result.contains("it-went-wrong")), "{requests:#?}");
}
