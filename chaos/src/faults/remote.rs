//! The git remote goes away.

use std::time::Duration;

use tokio::time::sleep;

use super::Planned;
use crate::stack::Stack;

const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(4);

pub(super) async fn lose(stack: &Stack, fault: &Planned) -> anyhow::Result<String> {
    let _outage = stack.remote.outage.lock().await;
    let down = fault.between(SHORT, LONG);
    stack.remote.set_away(true)?;
    sleep(down).await; // why: how long it is away
    stack.remote.set_away(false)?;
    Ok(format!("it, for {:.1} s", down.as_secs_f64()))
}
