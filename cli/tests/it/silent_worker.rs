use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::stack::{Options, Stack, count_lines, lines_until};

/// A lease so long that nothing of a test waits for its end.
const LONG_LEASE: &str = "worker.lease_ms=60000";

async fn patient_stack() -> Stack {
    let options = Options { workers: 2, slots: 1, durable: false, programs: None };
    Stack::start_set(options, &[LONG_LEASE]).await
}

async fn workers(stack: &Stack) -> Vec<Value> {
    stack.get("/mesh/workers").await["workers"].as_array().unwrap().clone()
}

fn ids(workers: &[Value]) -> BTreeSet<String> {
    workers.iter().map(|worker| worker["id"].as_str().unwrap().to_owned()).collect()
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

/// Waits until these workers have renewed their leases of `lease` for this long after now, and nobody else is there.
async fn until_renewed(stack: &Stack, known: &BTreeSet<String>, lease: TimeDelta, span: TimeDelta) {
    let begun = Utc::now();
    loop {
        let workers = workers(stack).await;
        assert_eq!(&ids(&workers), known, "{}", stack.log());
        if workers.iter().all(|worker| time(&worker["leaseExpiresAt"]) - lease > begun + span) {
            return;
        }
    }
}

/// Kills the worker that holds a task, and waits until another one has it.
async fn kill_holder(stack: &Stack, id: &str) {
    let (worker, pid) = stack.worker_of(id).await;
    kill(pid, Signal::SIGKILL).unwrap();
    stack.wait_for_status(id, 2, "running").await;
    let task = stack.task(id).await;
    let first = &task["attempts"][0];
    assert_eq!((&first["workerId"], &first["outcome"]), (&worker.clone().into(), &"worker_lost".into()));
    assert!(first["errorMessage"].as_str().unwrap().contains("connection broke"), "{task:#}");
    assert_ne!(task["attempts"][1]["workerId"], first["workerId"]);
    let dead = stack.get(&format!("/mesh/workers/{worker}")).await;
    assert!(time(&dead["leaseExpiresAt"]) > time(&first["endedAt"]) + TimeDelta::seconds(30), "{dead:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_is_noticed_long_before_its_lease_ends() {
    let stack = patient_stack().await;
    let gate = stack.shared("gate");
    let id = stack.submit(&stack.script("resume me", &lines_until(&gate))).await;
    stack.wait_for_checkpoint(&id, 1, 1).await;
    kill_holder(&stack, &id).await;
    std::fs::write(&gate, "").unwrap();
    let end = stack.wait_for_end(&id).await;
    assert_eq!((&end["status"], end["retryCount"].as_i64()), (&"done".into(), Some(1)), "{end:#}");
    count_lines(&stack.repository.file(end["resultBranch"].as_str().unwrap(), "lines.txt"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_redis_ends_no_worker_and_signs_of_life_come_back() {
    let stack = patient_stack().await;
    let gate = stack.shared("gate");
    let id = stack.submit(&stack.script("undisturbed", &lines_until(&gate))).await;
    stack.wait_for_checkpoint(&id, 1, 1).await;
    let known = ids(&workers(&stack).await);
    let lease = TimeDelta::seconds(60);

    let mut redis = stack.redis();
    redis::cmd("FLUSHALL").exec(&mut redis).unwrap();
    redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").exec(&mut redis).unwrap();
    until_renewed(&stack, &known, lease, TimeDelta::seconds(2)).await;
    redis::cmd("CLIENT").arg("PAUSE").arg(3000).exec(&mut redis).unwrap();
    until_renewed(&stack, &known, lease, TimeDelta::seconds(5)).await;
    let info: String = redis::cmd("INFO").arg("server").query(&mut redis).unwrap();
    let pid = info.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    until_renewed(&stack, &known, lease, TimeDelta::seconds(5)).await;
    assert_eq!(stack.task(&id).await["epoch"], 1);

    // The worker's sign of life is back, so its death is noticed as before.
    let channel = format!("*:alive:{}", stack.worker_of(&id).await.0);
    loop {
        let mut redis = stack.redis();
        let mut channels = redis::cmd("PUBSUB");
        let there: Vec<String> = channels.arg("CHANNELS").arg(&channel).query(&mut redis).unwrap();
        if there.len() == 1 {
            break;
        }
    }
    kill_holder(&stack, &id).await;
    std::fs::write(&gate, "").unwrap();
    assert_eq!(stack.wait_for_end(&id).await["status"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_worker_keeps_its_connection_and_is_ended_by_its_lease_alone() {
    let stack = Stack::start(2, 1).await;
    let gate = stack.shared("gate");
    let id = stack.submit(&stack.script("frozen", &lines_until(&gate))).await;
    stack.wait_for_checkpoint(&id, 1, 1).await;
    let (_, pid) = stack.worker_of(&id).await;
    kill(pid, Signal::SIGSTOP).unwrap();
    stack.wait_for_status(&id, 2, "running").await;
    let first = stack.task(&id).await["attempts"][0].clone();
    assert!(first["errorMessage"].as_str().unwrap().starts_with("the lease of"), "{first:#}");
    kill(pid, Signal::SIGCONT).unwrap();
    std::fs::write(&gate, "").unwrap();
    assert_eq!(stack.wait_for_end(&id).await["status"], "done");
}
