//! Rates, as differences between frames of what workers have counted.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use makima_shared::domain::{Overview, WorkerId};

use crate::render::Rates;

/// Over which time a rate is taken: workers tell their counts every other second, and one frame may see none of it.
const WINDOW: TimeDelta = TimeDelta::seconds(10);

/// What was counted at one moment.
#[derive(Debug)]
struct Counted {
    at: DateTime<Utc>,
    /// How many tasks each worker has claimed and done.
    workers: HashMap<WorkerId, (i64, i64)>,
}

/// The frames of the last seconds.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<Counted>);

impl History {
    /// Takes a frame. One that was measured when the last one was brings nothing new.
    pub(super) fn push(&mut self, overview: &Overview) {
        let at = overview.measured_at;
        if self.0.back().is_some_and(|last| last.at >= at) {
            return;
        }
        let counts = overview.workers.iter().map(|w| (w.id, (w.claimed_count, w.done_count)));
        self.0.push_back(Counted { at, workers: counts.collect() });
        while self.0.get(1).is_some_and(|second| at - second.at >= WINDOW) {
            self.0.pop_front();
        }
    }

    /// Returns the rates; none before there are two frames.
    pub(super) fn rates(&self) -> Option<Rates> {
        let (first, last) = (self.0.front()?, self.0.back()?);
        let secs = (last.at - first.at).as_seconds_f64();
        if secs <= 0.0 {
            return None;
        }
        let mut rates = Rates::default();
        for (earlier, later) in self.0.iter().zip(self.0.iter().skip(1)) {
            for (worker, (claimed, done)) in &later.workers {
                // A worker that was not there has counted from 0 since.
                let before = earlier.workers.get(worker).copied().unwrap_or_default();
                let done = (done - before.1).max(0) as f64 / secs;
                rates.claimed += (claimed - before.0).max(0) as f64 / secs;
                rates.done += done;
                *rates.done_of.entry(*worker).or_default() += done;
            }
        }
        Some(rates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(frames: &[(i64, &[(WorkerId, i64)])]) -> History {
        let mut history = History::default();
        for (second, counts) in frames {
            let at = DateTime::UNIX_EPOCH + TimeDelta::seconds(*second);
            let workers = counts.iter().map(|(worker, count)| (*worker, (count * 2, *count))).collect();
            history.0.push_back(Counted { at, workers });
        }
        history
    }

    #[test]
    fn a_rate_is_a_difference_over_time_and_a_worker_that_left_keeps_what_it_did() {
        let (one, two) = (WorkerId::new(), WorkerId::new());
        let rates =
            history(&[(0, &[(one, 100)]), (2, &[(one, 120), (two, 4)]), (4, &[(two, 24)])]).rates().unwrap();
        assert_eq!((rates.claimed, rates.done), (22.0, 11.0));
        assert_eq!((rates.done_of[&one], rates.done_of[&two]), (5.0, 6.0));
    }

    #[test]
    fn one_frame_has_no_rates() {
        assert_eq!(history(&[]).rates(), None);
        assert_eq!(history(&[(5, &[(WorkerId::new(), 7)])]).rates(), None);
    }
}
