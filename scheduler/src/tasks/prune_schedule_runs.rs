//! Deletes what is beyond the bounds of each schedule's history, a few rows at a time.

use makima_shared::domain::ScheduleId;

use crate::Context;
use crate::report::{ReconcileError, Report};

const PAGE: i64 = 100;
const LIMIT: i64 = 500;

pub(crate) async fn run_once(context: &Context) -> Result<Report, ReconcileError> {
    let mut changed = 0;
    let mut after: Option<ScheduleId> = None;
    loop {
        let page = context.store.schedules_page(after, PAGE).await?;
        for schedule in &page {
            changed += prune(context, *schedule).await?;
        }
        if i64::try_from(page.len()).is_ok_and(|count| count < PAGE) {
            return Ok(Report { changed, more: false });
        }
        after = page.last().copied();
    }
}

async fn prune(context: &Context, schedule: ScheduleId) -> Result<usize, ReconcileError> {
    let mut changed = 0;
    loop {
        let pruned = context.store.schedule_runs_prune(schedule, LIMIT).await?;
        let report = Report::of(usize::try_from(pruned).unwrap_or(usize::MAX), LIMIT);
        changed += report.changed;
        if !report.more {
            return Ok(changed);
        }
    }
}
