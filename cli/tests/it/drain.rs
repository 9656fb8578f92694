use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::process_tree;
use super::stack::{Stack, count_lines, lines_until};

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_worker_saves_its_task_and_spends_no_retry() {
    let stack = Stack::start(2, 1).await;
    let gate = stack.shared("gate");
    let mut body = stack.script("hand me on", &lines_until(&gate));
    // No checkpoint but the one of the drain.
    body["checkpointIntervalSecs"] = 3600.into();
    let id = stack.submit(&body).await;
    stack.wait_for(&id, "output", |event| event["data"]["text"] == "line 5").await;
    let (worker, pid) = stack.worker_of(&id).await;
    kill(pid, Signal::SIGTERM).unwrap();

    stack.wait_for_status(&id, 2, "running").await;
    std::fs::write(&gate, "").unwrap();
    let end = stack.wait_for_end(&id).await;
    assert_eq!((&end["status"], end["retryCount"].as_i64()), (&"done".into(), Some(0)), "{end:#}");
    let first = &end["attempts"][0];
    assert_eq!((&first["workerId"], &first["outcome"]), (&worker.into(), &"handed_back".into()));
    assert_eq!(end["attempts"][1]["resumedFrom"], 1);
    let lines = count_lines(&stack.repository.file(end["resultBranch"].as_str().unwrap(), "lines.txt"));
    assert!(lines >= 5, "{lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_to_the_whole_control_group_is_a_drain_and_no_failure() {
    let stack = Stack::start(2, 1).await;
    let gate = stack.shared("gate");
    let mut body = stack.script("stopped with its worker", &lines_until(&gate));
    body["checkpointIntervalSecs"] = 3600.into();
    body["maxRetries"] = 0.into();
    let id = stack.submit(&body).await;
    stack.wait_for(&id, "output", |event| event["data"]["text"] == "line 5").await;
    let (_, worker) = stack.worker_of(&id).await;
    // As a service manager does it: every process gets the signal, in whatever order.
    let mut group: Vec<_> = process_tree::with_descendants(worker.as_raw()).into_iter().collect();
    group.sort_by_key(|pid| std::cmp::Reverse(*pid));
    for pid in group {
        // The shim may have killed it by now.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    stack.wait_for_status(&id, 2, "running").await;
    std::fs::write(&gate, "").unwrap();
    let end = stack.wait_for_end(&id).await;
    assert_eq!(
        (&end["status"], &end["attempts"][0]["outcome"]),
        (&"done".into(), &"handed_back".into()),
        "{end:#}"
    );
    count_lines(&stack.repository.file(end["resultBranch"].as_str().unwrap(), "lines.txt"));
}
