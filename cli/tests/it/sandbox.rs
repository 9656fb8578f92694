use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};

use super::process_tree;
use super::stack::{Options, Stack};

/// Says which sandboxes hold on this machine, and names those that are left out.
fn levels() -> Vec<(&'static str, &'static str)> {
    let settings = [("bubblewrap", "worker.sandbox=bubblewrap"), ("landlock", "worker.sandbox=landlock")];
    let directory = tempfile::tempdir().unwrap();
    let holds = |level: &str| {
        let mut check = Command::new(env!("CARGO_BIN_EXE_makima"));
        check.args(["sandbox-check", "--sandbox", level, "--data-dir"]).arg(directory.path());
        check.stdout(Stdio::piped()).output().unwrap().status.success()
    };
    let (held, lacking) = settings.into_iter().partition(|(level, _)| holds(level));
    let lacking: Vec<_> = lacking;
    if !lacking.is_empty() {
        eprintln!("left out, not of this machine: {lacking:?}");
    }
    held
}

/// Tries what a thief would, and prints a line for each thing that it reaches.
fn thief(stack: &Stack) -> String {
    let run = stack.data_dir().join("run");
    let sockets: Vec<_> = fs::read_dir(&run)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.to_str().is_some_and(|path| path.ends_with(".sock") || path.contains(".s.PGSQL")))
        .filter(|path| !path.to_str().unwrap().ends_with(".lock"))
        .map(|path| format!("'{}'", path.display()))
        .collect();
    assert_eq!(sockets.len(), 2, "{sockets:?}");
    format!(
        "for f in /proc/[0-9]*/environ; do tr '\\0' '\\n' < $f 2>/dev/null | grep -q '^CANARY=' && echo reached environ; done\n\
         ls {home}/.ssh ~root/.ssh >/dev/null 2>&1 && echo reached ssh\n\
         cat {secrets} >/dev/null 2>&1 && echo reached secrets\n\
         cat {data}/client.json >/dev/null 2>&1 && echo reached the key\n\
         for t in $(dirname $(dirname $MAKIMA_WORKSPACE))/*/tree; do \
            if [ $t != $MAKIMA_WORKSPACE ] && ls $t >/dev/null 2>&1; then echo reached other $t; fi; done\n\
         ls ${{MAKIMA_WORKSPACE%/tree}}/host.git >/dev/null 2>&1 && echo reached the git directory of the worker\n\
         if [ $MAKIMA_SANDBOX = bubblewrap ] && command -v perl >/dev/null; then for s in {sockets}; do \
            perl -MSocket -e 'socket(S,PF_UNIX,SOCK_STREAM,0);exit(connect(S,sockaddr_un($ARGV[0]))?0:1)' $s 2>/dev/null \
            && echo reached $s; done; fi\n\
         true",
        home = std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned()),
        secrets = stack.data_dir().join("secrets.json").display(),
        data = stack.data_dir().display(),
        sockets = sockets.join(" "),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn confined_agent_reaches_nothing_of_others_and_its_work_is_saved_resumed_and_pushed() {
    for (level, setting) in levels() {
        let mut stack = Stack::prepared(Options { workers: 2, slots: 2, durable: false, programs: None });
        stack.set_env("CANARY", "of the workers");
        stack.set(&[setting]);
        stack.up().await;
        // A neighbour on each worker.
        let mut neighbours = Vec::new();
        for _ in 0..2 {
            let id = stack.submit(&stack.script("neighbour", "echo here; sleep 3600 & wait")).await;
            stack.wait_for(&id, "its word", |event| event["data"]["text"] == "here").await;
            neighbours.push(id);
        }
        let script = format!(
            "if [ -e begun ]; then {thief}\n git log -1 --format=%s; echo $MAKIMA_SANDBOX > level; exit; fi\n\
             echo work > begun; git add begun; git commit -qm 'by the agent'; makima checkpoint -m saved\n\
             echo asked; setsid sleep 3600 & sleep 3600",
            thief = thief(&stack)
        );
        let mut body = stack.script("work", &script);
        body["checkpointIntervalSecs"] = 3600.into();
        let id = stack.submit(&body).await;
        stack.wait_for(&id, "its word", |event| event["data"]["text"] == "asked").await;
        let mark = format!("MAKIMA_TASK_ID={id}");
        assert!(!process_tree::with_environment(&mark).is_empty());
        let (_, pid) = stack.worker_of(&id).await;
        kill(pid, Signal::SIGKILL).unwrap();

        let end = stack.wait_for_end(&id).await;
        assert_eq!(end["status"], "done", "{end:#}\n{}", stack.log());
        let said: Vec<_> = stack.events(&id).await;
        let reached = |event: &&serde_json::Value| {
            event["data"]["text"].as_str().is_some_and(|text| text.starts_with("reached"))
        };
        assert_eq!(said.iter().filter(reached).count(), 0, "{level}: {said:#?}");
        assert!(said.iter().any(|event| event["data"]["text"] == "by the agent"), "{level}: {said:#?}");
        let branch = end["resultBranch"].as_str().unwrap();
        assert_eq!(stack.repository.file(branch, "level"), format!("{level}\n"));
        assert_eq!(stack.repository.file(branch, "begun"), "work\n");
        assert!(process_tree::with_environment(&mark).is_empty());
        for id in neighbours {
            stack.post(&format!("/mesh/tasks/{id}/stop")).await;
            stack.wait_for_end(&id).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_whose_sandbox_does_not_hold_takes_no_task_and_says_so() {
    let programs = tempfile::tempdir().unwrap();
    let bwrap = programs.path().join("bwrap");
    fs::write(&bwrap, "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
        .unwrap();
    fs::set_permissions(&bwrap, fs::Permissions::from_mode(0o755)).unwrap();
    let options =
        Options { workers: 1, slots: 1, durable: false, programs: Some(programs.path().to_owned()) };
    let stack = Stack::start_set(options, &["worker.sandbox=bubblewrap"]).await;
    let id = stack.submit(&stack.script("wait", "true")).await;
    let reason = loop {
        let workers = stack.get("/mesh/workers").await;
        if let Some(reason) = workers["workers"][0]["quarantineReason"].as_str() {
            break reason.to_owned();
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert!(reason.contains("No permissions to create new namespace"), "{reason}");
    assert!(reason.contains("--sandbox none"), "{reason}");
    let task = stack.task(&id).await;
    assert!(task["attempts"].as_array().unwrap().is_empty(), "{task:#}");
}
