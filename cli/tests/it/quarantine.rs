use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use super::stack::{Options, Stack, lines_until};

/// Writes a git with which the worker that first fills a work tree never can, as on a disk that is full, and its process
/// id into `first/pid`.
fn write_git(directory: &Path) {
    let script = format!(
        "#!/bin/sh\n\
         case \" $* \" in *' read-tree '*)\n\
           mkdir {0} 2>/dev/null && echo $PPID > {0}/pid\n\
           [ \"$(cat {0}/pid)\" = $PPID ] && {{ echo 'no space left on device' >&2; exit 128; }};;\n\
         esac\n\
         PATH=${{PATH#*:}} exec git \"$@\"\n",
        directory.join("first").display()
    );
    fs::write(directory.join("git"), script).unwrap();
    fs::set_permissions(directory.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Two workers, the first of which can make no workspace.
async fn stack_with_bad_worker(programs: &Path, settings: &[&'static str]) -> Stack {
    write_git(programs);
    let options = Options { workers: 2, slots: 1, durable: false, programs: Some(programs.to_owned()) };
    Stack::start_set(options, settings).await
}

async fn quarantined(stack: &Stack) -> Option<Value> {
    let workers = stack.get("/mesh/workers").await["workers"].as_array().unwrap().clone();
    workers.into_iter().find(|worker| !worker["quarantinedUntil"].is_null())
}

/// Submits tasks, each of which another worker does in the end, until a worker is in quarantine. Returns it.
async fn until_quarantined(stack: &Stack) -> Value {
    let mut failed = BTreeSet::new();
    loop {
        let id = stack.submit(&stack.script("try", "echo x > x")).await;
        let end = stack.wait_for_end(&id).await;
        assert_eq!(end["status"], "done", "{end:#}");
        if end["attempts"].as_array().unwrap().len() > 1 {
            assert_eq!(end["attempts"][0]["errorCode"], "WORKSPACE_FAILED");
            failed.insert(id);
        }
        if let Some(worker) = quarantined(stack).await {
            assert!(failed.len() >= 3, "{failed:?}");
            return worker;
        }
    }
}

async fn until_it_says_so(stack: &Stack) {
    while !stack.log().contains("in quarantine: taking no tasks") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_can_make_no_workspace_is_quarantined_and_the_others_do_its_work() {
    let programs = tempfile::tempdir().unwrap();
    let stack = stack_with_bad_worker(programs.path(), &[]).await;
    let bad = until_quarantined(&stack).await;
    assert!(bad["quarantineReason"].as_str().unwrap().contains("WORKSPACE_FAILED"), "{bad:#}");
    let pid = fs::read_to_string(programs.path().join("first/pid")).unwrap();
    assert_eq!(bad["pid"].to_string(), pid.trim());

    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(stack.submit(&stack.script("after", "echo x > x")).await);
    }
    for id in ids {
        let end = stack.wait_for_end(&id).await;
        assert_eq!((&end["status"], end["epoch"].as_i64()), (&"done".into(), Some(1)), "{end:#}");
        assert_ne!(end["attempts"][0]["workerId"], bad["id"]);
    }
    until_it_says_so(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_does_not_know_of_its_quarantine_learns_of_it_from_the_claim_and_gives_the_task_back() {
    let programs = tempfile::tempdir().unwrap();
    // No beat comes before the claim.
    let settings = ["worker.beat_ms=200000", "worker.lease_ms=600000"];
    let stack = stack_with_bad_worker(programs.path(), &settings).await;
    until_quarantined(&stack).await;
    // The other worker is busy, so the queue hands the next task to the bad one.
    let gate = stack.shared("gate");
    let busy = stack.submit(&stack.script("busy", &lines_until(&gate))).await;
    stack.wait_for_status(&busy, 1, "running").await;
    let next = stack.submit(&stack.script("next", "echo x > x")).await;
    until_it_says_so(&stack).await;
    fs::write(&gate, "").unwrap();
    let end = stack.wait_for_end(&next).await;
    assert_eq!((&end["status"], end["epoch"].as_i64()), (&"done".into(), Some(1)), "{end:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_disk_is_nearly_full_takes_nothing_and_says_so() {
    let options = Options { workers: 1, slots: 1, durable: false, programs: None };
    // More than any disk has.
    let stack = Stack::start_set(options, &["worker.min_free_bytes=1125899906842624"]).await;
    let id = stack.submit(&stack.script("task", "echo x > x")).await;
    until_it_says_so(&stack).await;
    let worker = quarantined(&stack).await.unwrap();
    assert!(worker["quarantineReason"].as_str().unwrap().contains("disk is nearly full"), "{worker:#}");
    let task = stack.task(&id).await;
    assert_eq!((&task["status"], task["epoch"].as_i64()), (&"queued".into(), Some(0)), "{task:#}");
}
