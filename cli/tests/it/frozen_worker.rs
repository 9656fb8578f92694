use makima_shared::domain::{TaskEvent, TaskStatus, fold_statuses};
use nix::sys::signal::{Signal, kill};

use super::process_tree;
use super::stack::{Stack, count_lines, lines_until};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_frozen_past_its_lease_writes_nothing_more_and_its_agent_is_dead() {
    let stack = Stack::start(2, 1).await;
    let gate = stack.shared("gate");
    let id = stack.submit(&stack.script("zombie", &lines_until(&gate))).await;
    stack.wait_for_checkpoint(&id, 1, 1).await;
    let (zombie, pid) = stack.worker_of(&id).await;
    kill(pid, Signal::SIGSTOP).unwrap();

    stack.wait_for_status(&id, 2, "starting").await;
    let of_task = process_tree::with_environment(&format!("MAKIMA_TASK_ID={id}"));
    let first_agent =
        process_tree::with_environment("MAKIMA_EPOCH=1").into_iter().filter(|pid| of_task.contains(pid));
    assert_eq!(first_agent.count(), 0, "the first agent is dead although its worker is frozen");

    kill(pid, Signal::SIGCONT).unwrap();
    stack.wait_for_checkpoint(&id, 2, 2).await;
    std::fs::write(&gate, "").unwrap();
    let end = stack.wait_for_end(&id).await;
    assert_eq!(end["status"], "done", "{end:#}");
    assert_ne!(end["attempts"][1]["workerId"], zombie.as_str());
    count_lines(&stack.repository.file(end["resultBranch"].as_str().unwrap(), "lines.txt"));

    let events = serde_json::from_value::<Vec<TaskEvent>>(stack.events(&id).await.into()).unwrap();
    assert_eq!(
        fold_statuses(&events),
        Ok(Some(TaskStatus::Done)),
        "no event of epoch 1 behind the claim of epoch 2"
    );
    // The thawed worker is back under a fresh id and takes tasks again: both slots are needed for these two.
    let second_gate = stack.shared("second gate");
    let (one, two) =
        (stack.script("one", &lines_until(&second_gate)), stack.script("two", &lines_until(&second_gate)));
    let (one, two) = (stack.submit(&one).await, stack.submit(&two).await);
    stack.wait_for_status(&one, 1, "running").await;
    stack.wait_for_status(&two, 1, "running").await;
    std::fs::write(&second_gate, "").unwrap();
    assert_eq!(stack.wait_for_end(&two).await["status"], "done");
}
