//! Whether makima knows every worker that runs.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::stack::Stack;

/// By then a worker that runs has registered, whatever happened to it before.
const WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Waits until every worker has a lease, and names those that have none to the end.
pub(super) async fn missing(stack: &Stack) -> Vec<String> {
    let give_up = Instant::now() + WITHIN;
    loop {
        let known = sqlx::query_scalar(
            "SELECT name FROM workers WHERE ended_at IS NULL AND lease_expires_at > now()",
        );
        let known: Vec<String> = known.fetch_all(&stack.pool).await.unwrap_or_default();
        let names = stack.workers.iter().map(|worker| worker.role.name());
        let missing: Vec<_> =
            names.filter(|name| !known.iter().any(|known| is_life_of(known, name))).collect();
        if missing.is_empty() || Instant::now() > give_up {
            let told = |name: &str| format!("{name} runs, and holds no lease");
            return missing.into_iter().map(told).collect();
        }
        sleep(LOOK_EVERY).await; // why: nothing tells when a worker registers
    }
}

fn is_life_of(known: &str, name: &str) -> bool {
    known.strip_prefix(name).is_some_and(|life| life.starts_with('.'))
}
