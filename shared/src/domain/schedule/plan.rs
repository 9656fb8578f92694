//! What is to be done about a due time.

use chrono::{DateTime, TimeDelta, Utc};

use super::{MissedRuns, Recurrence};

/// How late a due time may be and still run as if it were on time. It covers the change of the leading scheduler and
/// a restart of the servers; what is later was missed.
const GRACE: TimeDelta = TimeDelta::seconds(60);

/// What is to be done about a due time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuePlan {
    /// Submit its task; otherwise it is skipped as missed.
    pub submits: bool,
    /// Where several due times were missed: up to when. All of them are dealt with as one.
    pub missed_until: Option<DateTime<Utc>>,
    /// The due time after it, or after all that were missed. It may have passed as well, within the grace period.
    pub next_due_at: Option<DateTime<Utc>>,
}

impl Recurrence {
    /// Decides about a due time that has come.
    #[must_use]
    pub fn plan(&self, due_at: DateTime<Utc>, now: DateTime<Utc>, missed_runs: MissedRuns) -> DuePlan {
        let next = self.next_after(due_at);
        let missed_by = now - GRACE;
        if due_at > missed_by {
            return DuePlan { submits: true, missed_until: None, next_due_at: next };
        }
        let submits = match missed_runs {
            MissedRuns::Skip => false,
            MissedRuns::RunOnce => true,
        };
        if next.is_none_or(|next| next > missed_by) {
            return DuePlan { submits, missed_until: None, next_due_at: next };
        }
        DuePlan { submits, missed_until: Some(missed_by), next_due_at: self.next_after(missed_by) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-01T{text}Z").parse().unwrap()
    }

    fn plan(cron: &str, due: &str, now: &str, missed_runs: MissedRuns) -> DuePlan {
        Recurrence::parse(cron, "UTC").unwrap().plan(at(due), at(now), missed_runs)
    }

    #[test]
    fn a_due_time_within_the_grace_period_runs_and_so_does_the_next_one() {
        for missed_runs in [MissedRuns::Skip, MissedRuns::RunOnce] {
            let first = plan("*/30 * * * * *", "12:00:00", "12:00:59", missed_runs);
            let expected = DuePlan { submits: true, missed_until: None, next_due_at: Some(at("12:00:30")) };
            assert_eq!(first, expected);
        }
    }

    #[test]
    fn a_missed_due_time_is_skipped_or_run_late() {
        for (missed_runs, submits) in [(MissedRuns::Skip, false), (MissedRuns::RunOnce, true)] {
            let late = plan("0 * * * *", "12:00:00", "12:01:00", missed_runs);
            assert_eq!(late, DuePlan { submits, missed_until: None, next_due_at: Some(at("13:00:00")) });
        }
    }

    #[test]
    fn all_missed_due_times_are_dealt_with_as_one_and_what_is_in_time_is_left() {
        for (missed_runs, submits) in [(MissedRuns::Skip, false), (MissedRuns::RunOnce, true)] {
            let late = plan("* * * * *", "12:00:00", "19:30:20", missed_runs);
            let expected =
                DuePlan { submits, missed_until: Some(at("19:29:20")), next_due_at: Some(at("19:30:00")) };
            assert_eq!(late, expected);
        }
    }
}
