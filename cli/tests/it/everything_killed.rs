use std::collections::BTreeSet;

use super::stack::{Options, Stack, count_lines, lines_until};

#[tokio::test(flavor = "multi_thread")]
async fn killing_everything_at_once_loses_no_accepted_task() {
    let mut stack = Stack::start_with(Options { workers: 2, slots: 2, durable: true, programs: None }).await;
    let gate = stack.shared("gate");
    let mut ids = Vec::new();
    // Four run, on four slots; each has a checkpoint to go on from. The others come in after them and wait.
    for number in 0..20 {
        ids.push(stack.submit(&stack.script(&format!("task {number}"), &lines_until(&gate))).await);
        if ids.len() == 4 {
            for id in &ids {
                stack.wait_for_checkpoint(id, 1, 1).await;
            }
        }
    }
    stack.kill_everything();
    std::fs::write(&gate, "").unwrap();
    stack.up().await;

    let mut commits = BTreeSet::new();
    for (place, id) in ids.iter().enumerate() {
        let end = stack.wait_for_end(id).await;
        assert_eq!(end["status"], "done", "{end:#}");
        let attempts = end["attempts"].as_array().unwrap();
        let completed = attempts.iter().filter(|attempt| attempt["outcome"] == "completed").count();
        assert_eq!(completed, 1, "one result: {attempts:?}");
        if place < 4 {
            assert!(attempts.last().unwrap()["resumedFrom"].as_i64() >= Some(1), "{attempts:?}");
            let branch = end["resultBranch"].as_str().unwrap();
            assert!(count_lines(&stack.repository.file(branch, "lines.txt")) > 0);
            commits.insert(branch.to_owned());
        }
    }
    assert_eq!(commits.len(), 4);
}
