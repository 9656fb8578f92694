//! Redis loses what it knows, dies, or hangs.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::Planned;
use crate::stack::Stack;

const PAUSE: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(4);

pub(super) async fn flush(stack: &Stack) -> anyhow::Result<String> {
    let mut connection = stack.redis().await?;
    let keys: u64 = redis::cmd("DBSIZE").query_async(&mut connection).await?;
    redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await?;
    Ok(format!("{keys} keys"))
}

/// Kills it. It comes back knowing nothing.
pub(super) async fn kill(stack: &Stack, fault: &Planned) -> anyhow::Result<String> {
    let mut server = stack.servers.redis.lock().await;
    let down = fault.between(SHORT, LONG);
    server.kill().await;
    sleep(down).await; // why: how long it is away
    server.start().await?;
    Ok(format!("it, for {:.1} s, without persistence", down.as_secs_f64()))
}

pub(super) async fn pause(stack: &Stack) -> anyhow::Result<String> {
    let server = stack.servers.redis.lock().await;
    server.signal(Signal::SIGSTOP);
    sleep(PAUSE).await; // why: how long it hangs
    server.signal(Signal::SIGCONT);
    Ok(format!("it, for {} s", PAUSE.as_secs()))
}
