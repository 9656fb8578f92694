//! Fills Redis again, at once, when all that it knew is gone.

use chrono::DateTime;
use tracing::{info, warn};

use super::requeue_lost::{self, Pace};
use crate::Context;
use crate::report::{ReconcileError, Report};

pub(crate) async fn run_once(context: &Context) -> Result<Report, ReconcileError> {
    if !context.queue.is_wiped().await? {
        return Ok(Report::default());
    }
    // The mark comes first: if Redis is wiped again meanwhile, it goes with the rest, and the next run starts afresh.
    context.queue.mark_filled().await?;
    let report = requeue_lost::run_once(context, DateTime::UNIX_EPOCH, 0, Pace::Full).await?;
    if report.changed > 0 {
        warn!(tasks = report.changed, "Redis knew no queue: filled it");
    } else {
        info!("Redis knew no queue, and no task is queued");
    }
    Ok(report)
}
