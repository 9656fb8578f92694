//! Tells Redis again of queued tasks that it does not know, because a hint was lost.
//!
//! Most hints are lost on their way: those of the last while are looked at often. One that was taken by a worker which died
//! before it claimed may be of any age: everything is looked at now and then.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use makima_shared::domain::TaskId;
use tokio::time::sleep;
use uuid::Uuid;

use crate::Context;
use crate::report::{ReconcileError, Report};

const PAGE: i64 = 1000;
/// How many pages are looked at without a rest.
const PAGES_AT_ONCE: u32 = 10;
/// How many times longer the search rests than it works, from then on: with a million tasks queued it would else be what
/// the servers do most.
const REST: u32 = 4;
/// Hints on their way are left alone for this long.
const MIN_AGE_MS: i64 = 1000;
/// What counts as queued a while ago. Our clock against the database's: generous.
const RECENT: TimeDelta = TimeDelta::seconds(30);

/// Looks at the tasks that were queued in the last while.
pub(crate) async fn recent(context: &Context) -> Result<Report, ReconcileError> {
    run_once(context, Utc::now() - RECENT, MIN_AGE_MS, Pace::Resting).await
}

/// Looks at all queued tasks.
pub(crate) async fn all(context: &Context) -> Result<Report, ReconcileError> {
    run_once(context, DateTime::UNIX_EPOCH, MIN_AGE_MS, Pace::Resting).await
}

/// How much of the servers a search takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// All that there is.
    Full,
    /// A part, so that claims hardly notice.
    Resting,
}

/// Looks at the tasks that were queued after `since` and at least `age_ms` ago.
pub(super) async fn run_once(
    context: &Context,
    since: DateTime<Utc>,
    age_ms: i64,
    pace: Pace,
) -> Result<Report, ReconcileError> {
    let mut changed = 0;
    let mut pages = 0;
    let mut after = (since, TaskId::from(Uuid::nil()));
    loop {
        let begun = Instant::now();
        let page = context.store.tasks_queued(after, age_ms, PAGE).await?;
        let Some(last) = page.last() else { return Ok(Report { changed, more: false }) };
        after = (last.queued_at, last.id);
        let is_last = i64::try_from(page.len()).is_ok_and(|count| count < PAGE);
        let missing = context.queue.ready_missing(page).await?;
        context.queue.ready_restore(&missing).await?;
        changed += missing.len();
        if is_last {
            return Ok(Report { changed, more: false });
        }
        pages += 1;
        if pace == Pace::Resting && pages >= PAGES_AT_ONCE {
            sleep(begun.elapsed() * REST).await; // why: leaves the servers to others
        }
    }
}
