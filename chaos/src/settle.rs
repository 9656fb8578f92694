//! The end of a run: nothing breaks any more, nothing new is submitted, and what is there comes to its end or does not.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::load::Driver;
use crate::stack::Stack;

/// After the last fault everything is to be whole again within that time.
const WITHIN: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Ends the load and waits until no task can move any more, for a while at most. Returns how long that took.
pub(crate) async fn settle(
    stack: &Stack,
    driver: &Driver,
    load: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let give_up = begun + WITHIN;
    driver.over.cancel();
    let all_ended = async {
        load.await?;
        while open_tasks(stack).await != Some(0) {
            sleep(LOOK_EVERY).await; // why: nothing tells when the last task ends
        }
        anyhow::Ok(())
    };
    if let Ok(ended) = timeout_at(give_up, all_ended).await {
        ended?;
    }
    let took = begun.elapsed();
    driver.give_up.cancel();
    driver.stops_seen_through().await?;
    Ok(took)
}

/// Counts the tasks that have not ended; none if that is not known.
async fn open_tasks(stack: &Stack) -> Option<i64> {
    let open = sqlx::query_scalar("SELECT count(*) FROM tasks WHERE finished_at IS NULL");
    open.fetch_one(&stack.pool).await.ok()
}
