//! Something is said to a client while it works, or after its worker has died.

use std::path::Path;

use makima_scripted_model::{Step, script_line};
use nix::sys::signal::{Signal, kill};

use super::for_each_client;
use super::pool::{Client, Pool};
use crate::messages::{delivered, say};

for_each_client!(a_message_while_a_tool_runs_is_heard_once, messages_outlive_a_killed_worker);

/// A tool that tells when it runs, and then until when.
fn tool(begun: &Path, gate: &Path) -> Step {
    let (begun, gate) = (begun.display(), gate.display());
    Step::run(&format!("[ -e '{gate}' ] || echo > '{begun}'; until [ -e '{gate}' ]; do sleep 0.05; done"))
}

async fn begins(pool: &Pool, name: &str, steps: impl FnOnce(&Path) -> Vec<Step>) -> String {
    let begun = pool.stack.shared("begun");
    nix::unistd::mkfifo(&begun, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    let id = pool.stack.submit(&pool.task(name, &steps(&begun))).await;
    tokio::task::spawn_blocking(move || std::fs::read(begun).unwrap()).await.unwrap();
    id
}

async fn a_message_while_a_tool_runs_is_heard_once(client: Client) {
    let pool = Pool::start(client, 1).await;
    let gate = pool.stack.shared("gate");
    let id = begins(&pool, "listen", |begun| vec![tool(begun, &gate), Step::say("the first part")]).await;
    let steps = [Step::run("echo said > said.txt"), Step::say("heard")];
    say(&pool.stack, &id, &format!("and-also-this\n{}", script_line(&steps)), true);
    std::fs::write(&gate, "").unwrap();
    let end = pool.stack.wait_for_end(&id).await;
    assert_eq!((&end["status"], &end["epoch"]), (&"done".into(), &1.into()), "{end:#}");
    assert_eq!(pool.result(&end, "said.txt"), "said\n");
    assert_eq!(delivered(&pool.stack, &id).await, [1]);
    let last = pool.model.requests().last().unwrap().body.to_string();
    assert_eq!(last.matches("and-also-this").count(), 1, "{last}");
}

async fn messages_outlive_a_killed_worker(client: Client) {
    let pool = Pool::start(client, 2).await;
    let gate = pool.stack.shared("gate");
    let id = begins(&pool, "outlive", |begun| vec![tool(begun, &gate), Step::say("the first part")]).await;
    say(&pool.stack, &id, "number-one", false);
    let steps = [Step::run("echo said > said.txt"), Step::say("heard")];
    say(&pool.stack, &id, &format!("number-two\n{}", script_line(&steps)), false);
    let (_, pid) = pool.stack.worker_of(&id).await;
    kill(pid, Signal::SIGKILL).unwrap();
    std::fs::write(&gate, "").unwrap();
    let end = pool.stack.wait_for_end(&id).await;
    assert_eq!((&end["status"], &end["epoch"]), (&"done".into(), &2.into()), "{end:#}");
    let last = pool.model.requests().last().unwrap().body.to_string();
    let places = ["number-one", "number-two"].map(|words| {
        assert_eq!(last.matches(words).count(), 1, "{words} in {last}");
        last.find(words).unwrap()
    });
    assert!(places.is_sorted(), "{last}");
    assert_eq!(delivered(&pool.stack, &id).await.len(), 2);
}
