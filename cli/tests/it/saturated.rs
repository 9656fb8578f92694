use chrono::{DateTime, TimeDelta, Utc};

use super::stack::{Options, Stack};

/// How many beats are watched.
const BEATS: usize = 5;
/// Far more agents than cores, each of which uses all that it gets.
const AGENTS: u32 = 16;

#[tokio::test(flavor = "multi_thread")]
async fn no_lease_of_default_length_runs_out_while_agents_use_every_core() {
    let options = Options { workers: 1, slots: AGENTS, durable: true, programs: None };
    let stack = Stack::start_set(options, &["worker.lease_ms=10000", "worker.beat_ms=2000"]).await;
    let gate = stack.shared("gate");
    let script = format!("while [ ! -e '{}' ]; do :; done", gate.display());
    let mut ids = Vec::new();
    for number in 0..AGENTS {
        ids.push(stack.submit(&stack.script(&format!("busy {number}"), &script)).await);
    }
    for id in &ids {
        stack.wait_for_status(id, 1, "running").await;
    }
    let (worker, _) = stack.worker_of(&ids[0]).await;
    let mut leases: Vec<DateTime<Utc>> = Vec::new();
    while leases.len() <= BEATS {
        let row = stack.get(&format!("/mesh/workers/{worker}")).await;
        assert_eq!(row["alive"], true, "{row:#}\n{}", stack.log());
        let lease = row["leaseExpiresAt"].as_str().unwrap().parse().unwrap();
        if leases.last() != Some(&lease) {
            leases.push(lease);
        }
    }
    let longest = leases.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    eprintln!("the longest time between two beats was {} ms", longest.num_milliseconds());
    assert!(longest < TimeDelta::seconds(8), "agents are told to end 8 s after a beat: {longest}");
    std::fs::write(&gate, "").unwrap();
    for id in &ids {
        let end = stack.wait_for_end(id).await;
        assert_eq!((&end["status"], end["epoch"].as_i64()), (&"done".into(), Some(1)), "{end:#}");
    }
}
