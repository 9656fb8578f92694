//! Finds out when everything is ready: PostgreSQL, Redis, the API, and every worker in the register.

use std::time::Duration;

use makima_shared::store::Store;
use tokio::time::{Instant, sleep};

use super::log_lines::LogLines;
use super::supervisor::Supervisor;
use crate::client::Client;

/// Between two looks. The roles are processes, and tell nobody but the servers that they are ready.
const LOOK_PERIOD: Duration = Duration::from_millis(25);
/// Whoever waits longer is told what for.
const TELL_PERIOD: Duration = Duration::from_secs(10);

/// Waits until everything is ready, for as long as it takes: roles that fail say so themselves.
pub(super) async fn wait(client: &Client, store: &Store, workers: &[Supervisor], lines: &LogLines) {
    let mut tell_at = Instant::now() + TELL_PERIOD;
    loop {
        let missing = missing(client, store, workers).await;
        if missing.is_empty() {
            return;
        }
        if Instant::now() >= tell_at {
            lines.say(&format!("still waiting for {}", missing.join(", "))).await;
            tell_at += TELL_PERIOD;
        }
        sleep(LOOK_PERIOD).await; // why: see LOOK_PERIOD
    }
}

async fn missing(client: &Client, store: &Store, workers: &[Supervisor]) -> Vec<String> {
    if !client.is_ready().await {
        return vec!["the API, PostgreSQL and Redis".to_owned()];
    }
    let Ok(register) = store.workers_list().await else { return vec!["PostgreSQL".to_owned()] };
    let registered = |worker: &Supervisor| {
        let pid = worker.pid();
        pid.is_some() && register.iter().any(|row| row.alive && Some(row.pid) == pid)
    };
    workers.iter().filter(|worker| !registered(worker)).map(|worker| worker.name().to_owned()).collect()
}
