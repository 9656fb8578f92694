//! Watches whether the machine gives this run the time that it needs.
//!
//! A machine that is busy with other things lets every process wait for its turn, and a promise of so many seconds means
//! nothing then. How late this process' own timers are tells how long processes wait: each statement of a role waits so
//! several times.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::windows::Span;

const TICK: Duration = Duration::from_millis(50);
/// How many ticks are judged together.
const TICKS: u32 = 20;
/// On a machine that has time, a timer is a millisecond or two late.
const STARVED_FROM: Duration = Duration::from_millis(15);

/// Spans in which the machine had no time for this run.
#[derive(Clone, Default)]
pub(crate) struct MachineWatch {
    starved: Arc<Mutex<Vec<Span>>>,
}

impl MachineWatch {
    /// Watches until it is told to stop.
    pub(crate) async fn run(self, over: &CancellationToken) {
        while !over.is_cancelled() {
            let (began, mut late) = (Utc::now(), Duration::ZERO);
            for _ in 0..TICKS {
                let due = Instant::now() + TICK;
                sleep(TICK).await; // why: its lateness is what is measured
                late += due.elapsed();
            }
            if late / TICKS >= STARVED_FROM {
                self.starved.lock().unwrap_or_else(PoisonError::into_inner).push((began, Utc::now()));
            }
        }
    }

    /// Returns how much of the run that was, in seconds.
    pub(crate) fn starved_secs(&self) -> i64 {
        self.starved().iter().map(|(began, ended)| (*ended - *began).num_seconds()).sum()
    }

    /// Returns the spans so far.
    pub(crate) fn starved(&self) -> Vec<Span> {
        self.starved.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
