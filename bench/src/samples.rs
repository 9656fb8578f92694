//! Measured values and their percentiles.
//!
//! Percentiles are of the nearest rank: the p-th of n values is the smallest of them that at least p % of them do not
//! exceed, which is the one at place ⌈p·n/100⌉ in ascending order. It is always a value that was measured; nothing is
//! interpolated, and p99 of up to 100 values is the largest one.

use std::time::{Duration, SystemTime};

/// Values in ascending order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Sorts values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// Takes durations, as milliseconds.
    pub(crate) fn of_durations(durations: impl IntoIterator<Item = Duration>) -> Self {
        Self::of(durations.into_iter().map(millis))
    }

    /// Adds values.
    pub(crate) fn extend(&mut self, more: Self) {
        *self = Self::of(self.0.drain(..).chain(more.0));
    }

    /// Returns how many values there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the value that `percent` percent of all values do not exceed; none of no values.
    pub(crate) fn at_most(&self, percent: usize) -> Option<f64> {
        self.0.get(rank(percent, self.0.len())?).copied()
    }

    /// Returns the value that `percent` percent of all values reach; none of no values.
    pub(crate) fn at_least(&self, percent: usize) -> Option<f64> {
        self.0.iter().rev().nth(rank(percent, self.0.len())?).copied()
    }
}

/// Returns the place of the nearest rank, from 0.
fn rank(percent: usize, count: usize) -> Option<usize> {
    (percent * count).div_ceil(100).max(1).checked_sub(1).filter(|place| *place < count)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Returns a throughput as events per second, one value for each slice of `slice` consecutive events. The first slice
/// begins at `start`, each other where the one before ended; events beyond the last whole slice are left out.
pub(crate) fn rates(start: SystemTime, mut ends: Vec<SystemTime>, slice: usize) -> Samples {
    ends.sort();
    let mut from = start;
    let rates = ends.chunks_exact(slice.max(1)).filter_map(|events| {
        let to = *events.last()?;
        let rate = rate(events.len(), from, to);
        from = to;
        Some(rate)
    });
    Samples::of(rates.collect::<Vec<_>>())
}

/// Returns how many events there were per second. Less than the clock can tell counts as a microsecond.
pub(crate) fn rate(events: usize, from: SystemTime, to: SystemTime) -> f64 {
    let took = to.duration_since(from).unwrap_or_default().max(Duration::from_micros(1));
    events as f64 / took.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ascending(count: usize) -> Samples {
        Samples::of((1..=count).rev().map(|value| value as f64))
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        // Each the place ⌈p·n/100⌉.
        for (count, percent, expected) in [
            (1, 50, 1.0),
            (1, 99, 1.0),
            (2, 50, 1.0),
            (3, 50, 2.0),
            (4, 50, 2.0),
            (5, 30, 2.0),
            (100, 99, 99.0),
            (101, 99, 100.0),
            (200, 99, 198.0),
            (1000, 99, 990.0),
            (10, 0, 1.0),
            (10, 100, 10.0),
        ] {
            assert_eq!(ascending(count).at_most(percent), Some(expected), "p{percent} of {count}");
        }
        assert_eq!(Samples::default().at_most(50), None);
    }

    #[test]
    fn a_rate_of_99_percent_is_reached_by_all_but_one_of_a_hundred() {
        assert_eq!(ascending(100).at_least(99), Some(2.0));
        assert_eq!(ascending(20).at_least(99), Some(1.0));
        assert_eq!(ascending(3).at_least(50), Some(2.0));
        assert_eq!(Samples::default().at_least(99), None);
    }

    #[test]
    fn values_added_later_count_alike() {
        let mut samples = Samples::of([1.0, 9.0]);
        samples.extend(Samples::of([2.0, 3.0]));
        assert_eq!((samples.len(), samples.at_most(50), samples.at_most(100)), (4, Some(2.0), Some(9.0)));
    }

    #[test]
    fn slices_follow_each_other_without_a_gap() {
        let at = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        // Two events in 2 s, two in 6 s; the fifth event fills no slice.
        let rates = rates(at(10), vec![at(18), at(11), at(12), at(13), at(19)], 2);
        assert_eq!((rates.len(), rates.at_least(100), rates.at_least(50)), (2, Some(2.0 / 6.0), Some(1.0)));
    }
}
