//! PostgreSQL crashes, or throws everybody out.

use std::time::Duration;

use tokio::time::sleep;

use super::Planned;
use crate::stack::Stack;

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(3);

/// Stops it as a crash would; it recovers from its log when it starts.
pub(super) async fn crash(stack: &Stack, fault: &Planned) -> anyhow::Result<String> {
    let mut server = stack.servers.postgres.lock().await;
    let down = fault.between(SHORT, LONG);
    server.stop_immediately().await;
    sleep(down).await; // why: how long it is away
    server.start().await?;
    Ok(format!("it, for {:.1} s and its recovery", down.as_secs_f64()))
}

pub(super) async fn terminate_backends(stack: &Stack) -> anyhow::Result<String> {
    let ended: i64 = sqlx::query_scalar(
        "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
    )
    .fetch_one(&stack.pool)
    .await?;
    Ok(format!("{ended} backends"))
}
