//! Ends of attempts that say nothing against the task: a remote that is down, a worker that drains.
//!
//! They spend no retry, so each kind is bounded by its streak: how many attempts ended in the same way since the last one
//! that did count. What comes again and again is no accident any more, and a task must come to its end some day.

use std::time::Duration;

use super::{AttemptOutcome, Epoch, Failure, RetryPolicy, Transition};

/// How often a remote may be unreachable before each further time spends a retry. With [`UNREACHABLE_RESTS`] these
/// last 8 to 15 minutes together, and each retry adds up to 5.
const FREE_UNREACHABLE: u32 = 8;
/// How long a task rests while its remote is unreachable: longer than after other failures, because nothing but time helps.
const UNREACHABLE_RESTS: RetryPolicy =
    RetryPolicy { base_delay: Duration::from_secs(5), max_delay: Duration::from_secs(300) };
/// How often a client may meet a limit in a row before each further time spends a retry: with [`LIMITED_RESTS`], days.
const FREE_LIMITED: u32 = 500;
/// How long a task rests whose client does not say when its limit ends.
const LIMITED_RESTS: RetryPolicy =
    RetryPolicy { base_delay: Duration::from_secs(30), max_delay: Duration::from_secs(900) };
/// How far the tasks that wait for the same limit are spread behind its end.
const LIMITED_SPREAD: Duration = Duration::from_secs(20);
/// How often a task may be handed back before the next time counts as a lost worker.
const FREE_HAND_BACKS: u32 = 20;

impl Transition {
    /// The repository could not be reached, after `streak` attempts that could not either. The task rests longer
    /// each time, and spends retries only once it has been patient for minutes.
    #[must_use]
    pub fn repository_unreachable(
        epoch: Epoch,
        message: impl Into<String>,
        streak: u32,
        retry_count: i16,
        max_retries: i16,
    ) -> Self {
        let failure = Failure::new(AttemptOutcome::RepositoryUnreachable, "REPOSITORY_UNREACHABLE", message);
        let rest = UNREACHABLE_RESTS.steady_delay(streak);
        let moved = if streak < FREE_UNREACHABLE {
            let postponed = Self::attempt_failed(epoch, failure, 0, 1, &UNREACHABLE_RESTS);
            Self { name: "postponed", spends_retry: false, ..postponed }
        } else {
            Self::attempt_failed(epoch, failure, retry_count, max_retries, &UNREACHABLE_RESTS)
        };
        Self { delay: moved.delay.map(|_jittered| rest), ..moved }
    }

    /// The agent could not ask its model, after `streak` attempts that could not either: what stands against it ends in `wait`,
    /// if the client says so. Nothing is said against the task, which spends no retry.
    #[must_use]
    pub fn agent_limited(
        epoch: Epoch,
        code: &'static str,
        message: impl Into<String>,
        wait: Option<Duration>,
        streak: u32,
        retry_count: i16,
        max_retries: i16,
    ) -> Self {
        let failure = Failure::new(AttemptOutcome::AgentLimited, code, message);
        let rest = match wait {
            Some(wait) => wait + LIMITED_SPREAD.mul_f64(rand::random::<f64>()),
            None => LIMITED_RESTS.steady_delay(streak),
        };
        let moved = if streak < FREE_LIMITED {
            let postponed = Self::attempt_failed(epoch, failure, 0, 1, &LIMITED_RESTS);
            Self { name: "postponed", spends_retry: false, ..postponed }
        } else {
            Self::attempt_failed(epoch, failure, retry_count, max_retries, &LIMITED_RESTS)
        };
        Self { delay: moved.delay.map(|_jittered| rest), ..moved }
    }

    /// The worker drains and gives the task back, after `streak` attempts that ended so too. That costs no retry
    /// unless it happens too often.
    #[must_use]
    pub fn handed_back_again(
        epoch: Epoch,
        streak: u32,
        retry_count: i16,
        max_retries: i16,
        policy: &RetryPolicy,
    ) -> Self {
        if streak < FREE_HAND_BACKS {
            return Self::handed_back(epoch);
        }
        let message = format!("handed back by draining workers {} times", streak.saturating_add(1));
        let failure = Failure::new(AttemptOutcome::WorkerLost, "HANDED_BACK_TOO_OFTEN", message);
        Self::attempt_failed(epoch, failure, retry_count, max_retries, policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TaskStatus;

    #[test]
    fn a_limit_spends_no_retry_and_the_task_rests_until_it_ends() {
        let limited = |wait, streak| {
            Transition::agent_limited(Epoch::from(1), "AGENT_USAGE_LIMIT", "resets 10pm", wait, streak, 0, 0)
        };
        let hour = Duration::from_secs(3600);
        let told = limited(Some(hour), 0);
        assert_eq!((told.name, told.to, told.spends_retry), ("postponed", TaskStatus::Pending, false));
        assert!(told.delay.unwrap() >= hour && told.delay.unwrap() <= hour + LIMITED_SPREAD);
        assert!(limited(None, 0).delay.unwrap() >= LIMITED_RESTS.base_delay / 2);
        assert!(limited(None, 9).delay.unwrap() >= LIMITED_RESTS.max_delay / 2);
        assert_eq!(limited(None, FREE_LIMITED).to, TaskStatus::Failed, "a task comes to its end some day");
    }

    fn unreachable(streak: u32, retry_count: i16) -> Transition {
        Transition::repository_unreachable(Epoch::from(1), "no route", streak, retry_count, 3)
    }

    #[test]
    fn an_unreachable_remote_spends_no_retry_before_minutes_have_passed() {
        let mut rested = Duration::ZERO;
        for streak in 0..FREE_UNREACHABLE {
            let postponed = unreachable(streak, 0);
            assert_eq!((postponed.name, postponed.to), ("postponed", TaskStatus::Pending));
            assert!(!postponed.spends_retry);
            rested += postponed.delay.unwrap();
        }
        assert!(rested >= Duration::from_secs(7 * 60), "{rested:?}");
        // Even a task without retries waits that long.
        let patient = Transition::repository_unreachable(Epoch::from(1), "no route", 7, 0, 0);
        assert_eq!(patient.to, TaskStatus::Pending);
    }

    #[test]
    fn a_remote_that_never_comes_back_spends_the_retries_and_fails_the_task() {
        for retry_count in 0..3 {
            let retried = unreachable(FREE_UNREACHABLE, retry_count);
            assert_eq!((retried.name, retried.spends_retry), ("retried", true));
            assert!(retried.delay.unwrap() >= Duration::from_secs(150));
        }
        let over = unreachable(FREE_UNREACHABLE + 3, 3);
        assert_eq!((over.to, over.delay), (TaskStatus::Failed, None));
        assert_eq!(over.attempt_end.unwrap().outcome, AttemptOutcome::RepositoryUnreachable);
    }

    #[test]
    fn hand_backs_are_free_until_they_come_too_often_in_a_row() {
        let policy = RetryPolicy::default();
        let back =
            |streak, retries| Transition::handed_back_again(Epoch::from(1), streak, retries, 3, &policy);
        let free = back(FREE_HAND_BACKS - 1, 3);
        assert_eq!((free.name, free.to, free.spends_retry), ("handed_back", TaskStatus::Queued, false));
        let lost = back(FREE_HAND_BACKS, 0);
        assert_eq!((lost.to, lost.spends_retry), (TaskStatus::Pending, true));
        assert_eq!(lost.attempt_end.unwrap().outcome, AttemptOutcome::WorkerLost);
        assert_eq!(back(FREE_HAND_BACKS, 3).to, TaskStatus::Failed);
    }

    #[test]
    fn every_edge_is_legal() {
        for moved in [unreachable(0, 0), unreachable(99, 0), unreachable(99, 3)] {
            assert!(moved.from.iter().all(|from| from.may_become(moved.to)), "{moved:?}");
        }
    }
}
