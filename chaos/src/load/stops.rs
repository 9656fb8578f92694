//! Stops of tasks, and what still runs of them a while later.

use std::time::Duration;

use makima_shared::domain::TaskId;
use tokio::time::sleep;

use super::driver::Driver;
use super::insist;
use crate::ledger::Fact;
use crate::processes;

/// By then no process of a stopped task may live.
const DEAD_WITHIN: Duration = Duration::from_secs(15);
const CONFIRMED: u16 = 202;

/// Stops a task after a while; when that is confirmed, waits and looks for what still runs of it.
pub(super) async fn stop(driver: Driver, owner: usize, task: TaskId, after: Duration) -> anyhow::Result<()> {
    sleep(after).await; // why: the moment that the seed has chosen
    if insist::stop(&driver, owner, task).await? != Some(CONFIRMED) {
        return Ok(());
    }
    sleep(DEAD_WITHIN).await; // why: the time that the invariant gives
    let processes = processes::of_task(task);
    if !processes.is_empty() {
        driver.ledger.write(Fact::StillRuns { task, processes }).await?;
    }
    Ok(())
}
