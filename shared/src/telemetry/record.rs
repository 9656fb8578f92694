//! What is recorded of one occasion in more than one metric, each occasion one function.

use std::time::Instant;

use super::names;
use crate::domain::{AttemptOutcome, TaskStatus, Transition};

/// The store has answered to a batch of transitions.
pub(crate) fn transitions(begun: Instant) {
    metrics::histogram!(names::TRANSITION_SECONDS).record(begun.elapsed());
}

/// A transition was applied, to a task that stood in `from`, or was refused.
pub(crate) fn transition(transition: &Transition, from: Option<TaskStatus>) {
    let Some(from) = from else {
        if transition.epoch.is_some() {
            metrics::counter!(names::STALE_WRITES).increment(1);
        }
        return;
    };
    metrics::counter!(names::TRANSITIONS, "transition" => transition.name).increment(1);
    if let Some(outcome) = transition.outcome()
        && from.is_active()
    {
        metrics::counter!(names::ATTEMPTS, "outcome" => outcome.as_str()).increment(1);
    }
}

/// Tasks were claimed that had been queued for so long, in seconds.
pub(crate) fn queue_waits(waits: impl Iterator<Item = f64>) {
    let histogram = metrics::histogram!(names::QUEUE_WAIT_SECONDS);
    waits.for_each(|waited| histogram.record(waited.max(0.0)));
}

/// A worker has claimed tasks that it asked for at `asked`.
pub fn claimed(asked: Instant, count: usize) {
    metrics::histogram!(names::CLAIM_SECONDS).record(asked.elapsed());
    metrics::counter!(names::CLAIMS).increment(count as u64);
}

/// A worker has ended an attempt that it began at `begun`.
pub fn attempt_ended(begun: Instant, outcome: AttemptOutcome) {
    metrics::histogram!(names::ATTEMPT_SECONDS, "outcome" => outcome.as_str()).record(begun.elapsed());
}

/// A checkpoint that was begun at `begun` is stored.
pub fn checkpoint_stored(begun: Instant) {
    metrics::counter!(names::CHECKPOINTS).increment(1);
    metrics::histogram!(names::CHECKPOINT_SECONDS).record(begun.elapsed());
}
