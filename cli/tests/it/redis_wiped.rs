use super::stack::{Stack, lines_until};

#[tokio::test(flavor = "multi_thread")]
async fn wiping_redis_disturbs_no_running_attempt_and_loses_no_queued_task() {
    let stack = Stack::start(1, 1).await;
    let gate = stack.shared("gate");
    let running = stack.submit(&stack.script("running", &lines_until(&gate))).await;
    stack.wait_for_checkpoint(&running, 1, 1).await;
    let mut queued = Vec::new();
    for number in 0..3 {
        queued.push(stack.submit(&stack.script(&format!("queued {number}"), "echo x > x.txt")).await);
    }
    redis::cmd("FLUSHALL").exec(&mut stack.redis()).unwrap();
    std::fs::write(&gate, "").unwrap();

    let end = stack.wait_for_end(&running).await;
    assert_eq!((&end["status"], end["epoch"].as_i64()), (&"done".into(), Some(1)), "{end:#}");
    for id in &queued {
        let end = stack.wait_for_end(id).await;
        assert_eq!((&end["status"], end["epoch"].as_i64()), (&"done".into(), Some(1)), "{end:#}");
    }
}
