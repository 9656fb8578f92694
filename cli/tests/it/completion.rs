//! Results that go further than to a branch of their own.

use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::stack::{Options, Stack};

fn merging(stack: &Stack, name: &str, script: &str) -> Value {
    let mut body = stack.script(name, script);
    body["completionAction"] = json!("merge");
    body
}

/// Runs a client command that must succeed, and returns what it printed.
fn makima(stack: &Stack, args: &[&str]) -> String {
    let client = stack.data_dir().join("client.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_makima"));
    let output = command.args(args).args(["--client", client.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Makes a file of the base branch another one, as somebody with a clone would.
fn write_to_main(stack: &Stack, file: &str, content: &str) {
    let clone = stack.shared("clone");
    if !clone.exists() {
        stack.repository.git(&["clone", "--quiet", ".", clone.to_str().unwrap()]);
    }
    let git = |args: &[&str]| {
        let who = ["-c", "user.name=t", "-c", "user.email=t@localhost"];
        let output = Command::new("git").args(who).args(args).current_dir(&clone).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    git(&["pull", "--quiet"]);
    std::fs::write(clone.join(file), content).unwrap();
    git(&["commit", "--quiet", "-am", "Theirs"]);
    git(&["push", "--quiet", "origin", "HEAD:main"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_merged_by_a_retry_after_the_base_was_mended_and_the_agent_runs_once() {
    let stack = Stack::start(2, 1).await;
    let (gate, ran) = (stack.shared("gate"), stack.shared("ran"));
    let script = format!(
        "echo ours > README.md; echo more > more.txt; echo ran >> '{}'; while [ ! -e '{}' ]; do sleep 0.05; done",
        ran.display(),
        gate.display()
    );
    let id = stack.submit(&merging(&stack, "ours", &script)).await;
    stack.wait_for_status(&id, 1, "running").await;
    write_to_main(&stack, "README.md", "theirs\n");
    let theirs = stack.repository.git(&["rev-parse", "main"]);
    std::fs::write(&gate, "").unwrap();

    let done = stack.wait_for_end(&id).await;
    let completion = &done["completion"];
    assert_eq!((&done["status"], &completion["status"]), (&json!("done"), &json!("conflict")), "{done:#}");
    assert_eq!((&completion["conflicts"], &completion["canRetry"]), (&json!(["README.md"]), &json!(true)));
    assert_eq!(completion["error"]["code"], "MERGE_CONFLICT");
    assert_eq!(stack.repository.git(&["rev-parse", "main"]), theirs, "the base is left alone");
    let branch = completion["branch"].as_str().unwrap();
    assert_eq!(
        stack.repository.file(branch, "README.md"),
        "ours\n",
        "the work is pushed for people to merge"
    );
    let short = &id[28..];
    let shown = makima(&stack, &["show", short]);
    assert!(shown.contains("conflict; `makima retry-completion`") && shown.contains("README.md"), "{shown}");

    write_to_main(&stack, "README.md", "# A repository\n");
    assert_eq!(makima(&stack, &["retry-completion", short]).trim(), format!("{short} queued"));
    let done = stack.wait_for_end(&id).await;
    assert_eq!(
        (&done["status"], &done["completion"]["status"]),
        (&json!("merged"), &json!("merged")),
        "{done:#}"
    );
    assert_eq!((&done["completionError"], &done["resultBranch"]), (&json!(null), &json!("main")));
    assert_eq!(stack.repository.file("main", "README.md"), "ours\n");
    assert_eq!(stack.repository.file("main", "more.txt"), "more\n");
    let commit = done["completion"]["commit"].as_str().unwrap();
    assert_eq!(stack.repository.git(&["rev-parse", "main"]).trim(), commit);
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), "ran\n", "the agent ran once");
    assert_eq!(done["attempts"][1]["resumedFrom"], done["lastCheckpoint"]["number"]);
    assert!(makima(&stack, &["show", short]).contains("merged"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_merge_at_the_same_time_all_land() {
    let settings = ["commit.author_name=Robot", "commit.author_email=robot@example.org"];
    let stack =
        Stack::start_set(Options { workers: 2, slots: 2, durable: false, programs: None }, &settings).await;
    let gate = stack.shared("gate");
    let mut ids = Vec::new();
    for number in 0..4 {
        let script =
            format!("echo {number} > {number}.txt; while [ ! -e '{}' ]; do sleep 0.02; done", gate.display());
        let mut body = merging(&stack, &format!("task {number}"), &script);
        body["mergeStrategy"] = json!(if number % 2 == 0 { "merge" } else { "squash" });
        ids.push(stack.submit(&body).await);
    }
    for id in &ids {
        stack.wait_for_status(id, 1, "running").await;
    }
    std::fs::write(&gate, "").unwrap();
    for id in &ids {
        let end = stack.wait_for_end(id).await;
        assert_eq!(end["status"], "merged", "{end:#}\n{}", stack.log());
    }
    for number in 0..4 {
        assert_eq!(stack.repository.file("main", &format!("{number}.txt")), format!("{number}\n"));
    }
    let log = stack.repository.git(&["log", "--first-parent", "--format=%an <%ae>", "main"]);
    assert_eq!(log.lines().filter(|line| *line == "Robot <robot@example.org>").count(), 4, "{log}");
    assert_eq!(stack.repository.branches(), ["main"], "no branch is left of what is merged");
}

/// Answers every request with an open pull request, and keeps what was asked.
async fn github() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = String::new();
            // The body is JSON, and ends with its last bracket.
            while !(request.contains("\r\n\r\n") && request.ends_with('}')) {
                let mut bytes = [0; 4096];
                let read = connection.read(&mut bytes).await.unwrap();
                request.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
            }
            heard.lock().unwrap().push(request);
            let body = r#"{"html_url":"https://127.0.0.1/team/project/pull/7"}"#;
            let head = format!(
                "HTTP/1.1 201 Created\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            connection.write_all((head + body).as_bytes()).await.unwrap();
        }
    });
    (url, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_is_opened_with_a_token_that_no_agent_sees() {
    let (url, asked) = github().await;
    let options = Options { workers: 1, slots: 1, durable: false, programs: None };
    let mut stack = Stack::prepared(options);
    // git finds the repository in a directory; everybody else takes it for one of the server.
    let config = stack.shared("gitconfig");
    let address = "http://127.0.0.1/team/project.git";
    std::fs::write(
        &config,
        format!("[url \"file://{}\"]\n\tinsteadOf = {address}\n", stack.repository.url()),
    )
    .unwrap();
    stack.set_env("GIT_CONFIG_GLOBAL", config.to_str().unwrap());
    stack.set_env("MAKIMA_GITHUB_TOKEN", "ghp_secret0123");
    stack.set_env("MAKIMA_GITHUB_API_URL", url);
    stack.up().await;
    let mut body = stack.script("offered", "env > env.txt");
    body["repositoryUrl"] = json!(address);
    body["completionAction"] = json!("pr");
    let id = stack.submit(&body).await;
    let done = stack.wait_for_end(&id).await;
    let completion = &done["completion"];
    assert_eq!(completion["status"], "pr_opened", "{done:#}\n{}", stack.log());
    assert_eq!(completion["pullRequestUrl"], "https://127.0.0.1/team/project/pull/7");
    let branch = completion["branch"].as_str().unwrap();
    let env = stack.repository.file(branch, "env.txt");
    assert!(env.contains("MAKIMA_TASK_ID=") && !env.contains("ghp_secret0123"), "{env}");
    assert!(!stack.log().contains("ghp_secret0123"));
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].starts_with("POST /repos/team/project/pulls HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(
        asked[0].contains("Bearer ghp_secret0123") && asked[0].contains(&format!("\"head\":\"{branch}\""))
    );
    assert!(
        asked[0].contains("\"base\":\"main\"") && asked[0].contains("\"title\":\"offered\""),
        "{}",
        asked[0]
    );
}
