//! Tasks that go on from another one's work, and agents that ask for checkpoints.

use std::process::Command;

use serde_json::{Value, json};

use super::stack::Stack;

const ASK: &str = "makima checkpoint";

/// Submits a script with these fields and returns its end, with the output's lines.
async fn run(stack: &Stack, name: &str, script: &str, fields: Value) -> (Value, Vec<String>) {
    let mut body = stack.script(name, script);
    for (field, value) in fields.as_object().unwrap() {
        body[field] = value.clone();
    }
    let id = stack.submit(&body).await;
    let end = stack.wait_for_end(&id).await;
    let output = stack.get(&format!("/mesh/tasks/{id}/output")).await;
    let lines =
        output["lines"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap().to_owned());
    (end, lines.collect())
}

fn makima(stack: &Stack, args: &[&str]) -> String {
    let client = stack.data_dir().join("client.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_makima"));
    let output = command.args(args).arg("--client").arg(client).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_asks_for_checkpoints_and_other_tasks_go_on_from_them() {
    let stack = Stack::start(1, 1).await;
    let script = format!(
        "echo out/ > .gitignore; mkdir out; echo kept > out/report; echo one > one.txt\n\
         {ASK} -m 'half way'; {ASK}; {ASK} -m \"$(head -c 2001 /dev/zero | tr '\\0' x)\" || echo refused\n\
         MAKIMA_CHECKPOINT_TOKEN=guess {ASK} || echo refused again\n\
         echo two > two.txt; rm README.md"
    );
    let fields =
        json!({"completionAction": "none", "keepIgnored": ["out/"], "checkpointIntervalSecs": 86400});
    let (first, lines) = run(&stack, "first", &script, fields).await;
    assert_eq!(first["status"], "done", "{first:#} {lines:?}");
    let said: Vec<_> = lines.iter().filter(|line| !line.starts_with("makima: ")).collect();
    assert_eq!(
        said,
        ["checkpoint 1", "nothing has changed since the last checkpoint", "refused", "refused again"]
    );
    let id = first["id"].as_str().unwrap();
    let list = stack.get(&format!("/mesh/tasks/{id}/checkpoints")).await;
    let list = list["checkpoints"].as_array().unwrap();
    let seen: Vec<_> = list.iter().map(|saved| (&saved["trigger"], &saved["message"])).collect();
    assert_eq!(seen, [(&json!("agent_ended"), &json!(null)), (&json!("asked"), &json!("half way"))]);
    assert!(makima(&stack, &["checkpoints", id]).contains("half way"));
    let diff = makima(&stack, &["diff", id]);
    assert!(diff.contains("+two") && diff.contains("-# A repository"), "{diff}");
    let diff = makima(&stack, &["diff", id, "--checkpoint", "1"]);
    assert!(diff.contains("+one") && !diff.contains("+two"), "{diff}");

    // The last checkpoint, with what was ignored and kept.
    let look = "ls; cat out/report; git status --porcelain; echo three > three.txt";
    let (next, lines) = run(&stack, "next", look, json!({"continueFromTaskId": id})).await;
    let seen = [
        "one.txt",
        "out",
        "src",
        "two.txt",
        "kept",
        " D README.md",
        "?? .gitignore",
        "?? one.txt",
        "?? two.txt",
    ];
    assert_eq!(lines, seen, "{next:#}");
    assert_eq!(next["baseCommit"], first["baseCommit"]);
    let branch = next["resultBranch"].as_str().unwrap();
    let pushed = stack.repository.git(&["ls-tree", "-r", "--name-only", branch]);
    assert_eq!(pushed, ".gitignore\none.txt\nsrc/lib.rs\nthree.txt\ntwo.txt\n");

    // The checkpoint that was asked for, by its tree.
    let fields =
        json!({"continueFromTaskId": id, "checkpointSha": list[1]["treeId"], "completionAction": "none"});
    let (_, lines) = run(&stack, "half", "ls", fields).await;
    assert_eq!(lines, ["README.md", "one.txt", "out", "src"]);

    // One file of it alone; one that is not there.
    let fields = json!({"continueFromTaskId": id, "copyFiles": ["two.txt"], "completionAction": "none"});
    let (_, lines) = run(&stack, "copy", "ls", fields).await;
    assert_eq!(lines, ["README.md", "src", "two.txt"]);
    let fields = json!({"continueFromTaskId": id, "copyFiles": ["three.txt"]});
    let (end, _) = run(&stack, "copy none", "ls", fields).await;
    assert_eq!((&end["status"], &end["statusCode"]), (&json!("failed"), &json!("COPY_FILE_NOT_FOUND")));
    assert_eq!(end["attempts"].as_array().unwrap().len(), 1);

    // Once its checkpoints have expired, the branch that it was pushed to.
    let store = sqlx::PgPool::connect(&stack.database_url()).await.unwrap();
    sqlx::query("DELETE FROM checkpoint_patches").execute(&store).await.unwrap();
    let from_branch = json!({"continueFromTaskId": next["id"], "completionAction": "none"});
    let (end, lines) = run(&stack, "branch", "cat three.txt", from_branch).await;
    assert_eq!((lines, &end["baseCommit"]), (vec!["three".to_owned()], &next["resultCommit"]));
    let (end, _) = run(&stack, "nothing", "ls", json!({"continueFromTaskId": id})).await;
    assert_eq!((&end["status"], &end["statusCode"]), (&json!("failed"), &json!("SOURCE_NOT_AVAILABLE")));
    assert!(end["statusMessage"].as_str().unwrap().contains("expired"), "{end:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_starts_from_a_commit_that_the_repository_has() {
    let stack = Stack::start(1, 1).await;
    let old = stack.repository.git(&["rev-parse", "main"]).trim().to_owned();
    let identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"];
    let next = [&identity[..], &["commit-tree", "main^{tree}", "-p", "main", "-m", "next"]].concat();
    let new = stack.repository.git(&next).trim().to_owned();
    stack.repository.git(&["update-ref", "refs/heads/main", &new]);
    let head = "git rev-parse HEAD";
    let (_, lines) = run(&stack, "tip", head, json!({})).await;
    assert_eq!(lines, [new]);
    let (end, lines) = run(&stack, "commit", head, json!({"checkpointSha": old})).await;
    assert_eq!((lines, &end["baseCommit"]), (vec![old.clone()], &json!(old)));
    let (end, _) = run(&stack, "missing", head, json!({"checkpointSha": "0123456789".repeat(4)})).await;
    assert_eq!((&end["status"], &end["statusCode"]), (&json!("failed"), &json!("BASE_LOST")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_agent_is_saved_soon_after_its_last_word() {
    let stack = Stack::start(1, 1).await;
    let gate = stack.shared("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    let script = format!("echo work > work.txt; echo thinking; cat '{}' > /dev/null", gate.display());
    let mut body = stack.script("quiet", &script);
    body["checkpointIntervalSecs"] = json!(86400);
    let id = stack.submit(&body).await;
    let saved = stack.wait_for_checkpoint(&id, 1, 1).await;
    assert_eq!(saved["data"]["trigger"], "quiet", "{saved}");
    std::fs::write(&gate, "go on").unwrap();
    assert_eq!(stack.wait_for_end(&id).await["status"], "done");
}

#[test]
fn outside_of_a_workspace_there_is_nobody_to_ask() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_makima"));
    command
        .args(["checkpoint", "-m", "x"])
        .env_remove("MAKIMA_CHECKPOINT_SOCKET")
        .env_remove("MAKIMA_CHECKPOINT_TOKEN");
    let output = command.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(words.contains("this is no workspace of a task"), "{words}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_makima"));
    command
        .arg("checkpoint")
        .env("MAKIMA_CHECKPOINT_SOCKET", "/no/such/socket")
        .env("MAKIMA_CHECKPOINT_TOKEN", "x");
    let output = command.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && words.contains("no checkpoint was taken"), "{words}");
}
