use std::io::Read;
use std::process::Command;

use nix::sys::stat::Mode;
use serde_json::{Value, json};

use super::stack::Stack;

/// Runs a client command that must succeed, and returns what it printed.
fn makima(stack: &Stack, args: &[&str]) -> String {
    let client = stack.data_dir().join("client.json");
    run(args, &["--client", client.to_str().unwrap()])
}

/// Runs an operator's command that must succeed.
fn operate(stack: &Stack, args: &[&str]) -> String {
    run(args, &["--database-url", &stack.database_url()])
}

fn run(args: &[&str], connection: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_makima"));
    let output = command.args(args).args(connection).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_a_file_run_in_their_order_and_can_be_started_again() {
    let stack = Stack::start(1, 2).await;
    let mut first = stack.script("first", "echo first > first.txt");
    first["ref"] = json!("one");
    let mut second = stack.script("second", "echo second > second.txt");
    second["dependsOn"] = json!(["one"]);
    let file = stack.shared("tasks.jsonl");
    std::fs::write(&file, format!("{second}\n{first}\n")).unwrap();
    let printed = makima(&stack, &["bulk", file.to_str().unwrap()]);
    let ids: Vec<_> = printed.lines().collect();
    assert_eq!(stack.wait_for_end(ids[0]).await["status"], "done");
    let done = stack.task(ids[1]).await;
    assert_eq!((&done["name"], &done["status"]), (&json!("first"), &json!("done")));

    let short = &ids[1][28..];
    // A worker may have it by the time of the answer.
    let started = makima(&stack, &["start", short]);
    let status = started.trim().strip_prefix(short).unwrap().trim_start().to_owned();
    assert!(["queued", "starting", "running", "done"].contains(&status.as_str()), "{started}");
    let again = stack.wait_for_end(ids[1]).await;
    assert_eq!(
        (&again["status"], &again["epoch"], &again["completionError"]),
        (&json!("done"), &json!(2), &json!(null))
    );
    assert_eq!(again["attempts"][1]["resumedFrom"], json!(null), "it began anew");
    let branch = again["resultBranch"].as_str().unwrap();
    assert_eq!(stack.repository.file(branch, "first.txt"), "first\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_deleted_while_it_runs_leaves_no_process_and_the_worker_goes_on() {
    let stack = Stack::start(1, 1).await;
    let pipe = stack.shared("pipe");
    nix::unistd::mkfifo(&pipe, Mode::from_bits_truncate(0o666)).unwrap();
    let agent = format!("exec 3> '{}'; echo up >&3; sleep 1000", pipe.display());
    let task = stack.submit(&stack.script("long", &agent)).await;
    // The agent holds the other end of the pipe for as long as one of its processes lives.
    let (sender, up) = tokio::sync::oneshot::channel();
    let gone = tokio::task::spawn_blocking(move || {
        let mut pipe = std::fs::File::open(pipe).unwrap();
        let mut word = [0; 3];
        pipe.read_exact(&mut word).unwrap();
        sender.send(()).unwrap();
        pipe.read_to_end(&mut Vec::new()).unwrap()
    });
    up.await.unwrap();
    let short = &task[28..];
    assert_eq!(makima(&stack, &["rm", short]).trim(), format!("{short} deleted"));
    gone.await.unwrap();
    assert_eq!(stack.task(&task).await["error"]["code"], "TASK_NOT_FOUND");
    let next = stack.submit(&stack.script("next", "true")).await;
    assert_eq!(stack.wait_for_end(&next).await["status"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_changed_before_it_runs_and_an_owner_is_limited() {
    let stack = Stack::start(1, 1).await;
    let mut body = stack.script("later", "true");
    body["runAt"] = json!("2999-01-01T00:00:00Z");
    let task = stack.submit(&body).await;
    makima(&stack, &["edit", &task, "--agent", "codex", "--model", "m", "--loop=3", "--max-tokens", "9"]);
    makima(
        &stack,
        &["edit", &task, "--agent-arg", "--search", "--merge-strategy", "squash", "--result", "none"],
    );
    let changed = stack.task(&task).await;
    let codex = json!({"kind": "codex", "model": "m", "args": ["--search"], "loop": {"maxRounds": 3}});
    assert_eq!((&changed["agent"], &changed["mergeStrategy"]), (&codex, &json!("squash")), "{changed:#}");
    let shown = makima(&stack, &["show", &task]);
    let rounds =
        "loop         0 left it unfinished; at most 3 rounds, until the agent says that it is finished\n";
    assert!(shown.contains(rounds), "{shown}");
    let command = ["--agent-cmd", "true", "--loop=none", "--max-tokens", "none", "--result", "push"];
    makima(&stack, &[&["edit", &task], command.as_slice()].concat());
    makima(&stack, &["edit", &task, "--name", "at once", "--priority", "99", "--run-at", "none"]);
    let end = stack.wait_for_end(&task).await;
    assert_eq!(
        (&end["status"], &end["name"], &end["priority"]),
        (&json!("done"), &json!("at once"), &json!(99))
    );

    let owners: Value = serde_json::from_str(&operate(&stack, &["owners", "--json"])).unwrap();
    let name = owners[0]["name"].as_str().unwrap();
    let set = ["owners", "set", name, "--max-running", "1", "--submissions-per-minute", "5"];
    let shown = operate(&stack, &set);
    assert!(shown.contains("RUNNING") && shown.contains(name), "{shown}");
    let limited = stack.submit(&stack.script("limited", "true")).await;
    assert_eq!(stack.wait_for_end(&limited).await["status"], "done");
    operate(&stack, &["owners", "set", name, "--max-running", "none"]);
    let owners: Value = serde_json::from_str(&operate(&stack, &["owners", "--json"])).unwrap();
    let limits = (&owners[0]["maxRunning"], &owners[0]["submissionsPerMinute"]);
    assert_eq!(limits, (&json!(null), &json!(5)));
}
