use std::path::Path;
use std::process::Command;

use nix::sys::stat::Mode;
use serde_json::Value;

use super::stack::Stack;

/// Runs a client command that must succeed, and returns what it printed.
fn makima(stack: &Stack, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_makima"));
    command.args(args).arg("--client").arg(stack.data_dir().join("client.json"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until an agent writes into a pipe, and returns what.
async fn hear(pipe: &Path) -> String {
    let pipe = pipe.to_owned();
    tokio::task::spawn_blocking(move || std::fs::read_to_string(pipe).unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_made_by_the_client_runs_its_task_until_it_is_deleted() {
    let stack = Stack::start(1, 1).await;
    let pipe = stack.shared("pipe");
    nix::unistd::mkfifo(&pipe, Mode::from_bits_truncate(0o666)).unwrap();
    let agent = format!("cat > '{}'", pipe.display());
    let repository = stack.repository.url();
    let words = ["schedules", "add", "hello", "--cron", "* * * * * *", "--time-zone", "Europe/Berlin"];
    let task = ["--no-overlap", "--no-push", "--repo", repository, "--agent-cmd", &agent];
    let id = makima(&stack, &[&words[..], &task[..]].concat()).trim().to_owned();

    assert_eq!(hear(&pipe).await, "hello");
    assert_eq!(hear(&pipe).await, "hello");
    let listed = makima(&stack, &["schedules"]);
    assert!(listed.contains("hello") && listed.contains("Europe/Berlin"), "{listed}");
    let short = &id[id.len() - 8..];
    let shown = makima(&stack, &["schedules", "show", short]);
    assert!(shown.contains("submitted") && shown.contains("skipped while the task before runs"), "{shown}");

    let schedule: Value =
        serde_json::from_str(&makima(&stack, &["schedules", "show", &id, "--json"])).unwrap();
    let runs = schedule["runs"].as_array().unwrap();
    let submitted: Vec<_> = runs.iter().filter_map(|run| run["taskId"].as_str()).collect();
    assert!(submitted.len() >= 2, "{schedule:#}");
    let first = submitted[submitted.len() - 1];
    assert_eq!(stack.wait_for_end(first).await["status"], "done");

    assert_eq!(makima(&stack, &["schedules", "rm", short]).trim(), format!("{short} deleted"));
    assert_eq!(stack.get("/schedules").await["schedules"], serde_json::json!([]));
    let task = stack.task(first).await;
    assert_eq!(task["name"], "hello", "{task:#}");
}
