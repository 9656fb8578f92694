//! When something was broken, and for whom: a promise with a time in it may be late by that much.

use chrono::{DateTime, TimeDelta, Utc};

use crate::faults::{Scope, Struck};

/// How long after a fault its traces may last: a new leader, new connections, a sweep.
const RECOVERY: TimeDelta = TimeDelta::seconds(5);

/// From when to when.
pub(crate) type Span = (DateTime<Utc>, DateTime<Utc>);

/// All faults as spans of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Windows {
    spans: Vec<(Scope, DateTime<Utc>, DateTime<Utc>)>,
}

impl Windows {
    /// Takes the faults and the spans in which the machine had no time, each with the time that its traces last.
    pub(crate) fn of(struck: &[Struck], starved: &[Span]) -> Self {
        let faults = struck.iter().map(|fault| (fault.scope, fault.began, fault.ended + RECOVERY));
        let starved = starved.iter().map(|(began, ended)| (Scope::Machine, *began, *ended + RECOVERY));
        Self { spans: faults.chain(starved).collect() }
    }

    /// Tells whether anything that `concerns` accepts was broken in a span.
    pub(crate) fn any(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        concerns: impl Fn(Scope) -> bool,
    ) -> bool {
        self.overlapping(from, to, concerns).next().is_some()
    }

    /// Returns for how long of a span something that `concerns` accepts was broken.
    pub(crate) fn broken(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        concerns: impl Fn(Scope) -> bool,
    ) -> TimeDelta {
        let mut spans: Vec<_> = self.overlapping(from, to, concerns).collect();
        spans.sort();
        let (mut broken, mut until) = (TimeDelta::zero(), from);
        for (begin, end) in spans {
            let begin = begin.max(until);
            if end > begin {
                broken += end - begin;
                until = end;
            }
        }
        broken
    }

    fn overlapping(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        concerns: impl Fn(Scope) -> bool,
    ) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> {
        let spans = self
            .spans
            .iter()
            .filter(move |(scope, begin, end)| concerns(*scope) && *begin <= to && *end >= from);
        spans.map(move |(_, begin, end)| ((*begin).max(from), (*end).min(to)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::FaultKind;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn fault(scope: Scope, began: i64, ended: i64) -> Struck {
        let (kind, hit) = (FaultKind::KillWorker, Ok(String::new()));
        Struck { number: 1, kind, scope, began: at(began), ended: at(ended), hit }
    }

    #[test]
    fn overlapping_faults_count_once_and_others_faults_not_at_all() {
        let faults =
            [fault(Scope::Redis, 10, 15), fault(Scope::Redis, 12, 16), fault(Scope::Worker(1), 0, 100)];
        let windows = Windows::of(&faults, &[]);
        let redis = |scope| scope == Scope::Redis;
        assert_eq!(windows.broken(at(0), at(100), redis), TimeDelta::seconds(11));
        assert_eq!(windows.broken(at(14), at(15), redis), TimeDelta::seconds(1));
        assert!(windows.any(at(20), at(30), redis) && !windows.any(at(22), at(30), redis));
    }
}
