//! The named moves of a task. Nothing else changes a status.
//!
//! A [`Transition`] says which statuses it may leave, where it leads and why. The store applies it in one statement,
//! guarded by those statuses and the epoch, and writes the history event with it. Claiming and releasing, which move
//! many tasks at once, and restarts, which move edges too, are statements of their own in `store/tasks/`.
//!
//! **Trust window.** A transition with an epoch is fenced: it has no effect once the task was claimed again or ended.

use std::time::Duration;

use super::{AttemptOutcome, Completion, CompletionStatus, Epoch, RetryPolicy, TaskStatus, WorkerId};

/// Why something happened: a stable code for programs, and words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Upper-case words with underscores, such as `REPOSITORY_NOT_FOUND`.
    pub code: &'static str,
    /// One sentence. Bounded by [`Reason::new`].
    pub message: String,
}

/// The longest message that is kept, in bytes.
const MAX_MESSAGE_BYTES: usize = 4096;

/// Cuts a message that is too long, and replaces what PostgreSQL cannot hold.
pub(super) fn storable(message: String) -> String {
    let mut message = message.replace('\0', "\u{fffd}");
    message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
    message
}

impl Reason {
    /// Makes a reason; a message of more than 4 KiB is cut, and what PostgreSQL cannot hold is replaced.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: storable(message.into()) }
    }
}

/// How an attempt failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The kind of failure.
    pub outcome: AttemptOutcome,
    /// Why.
    pub reason: Reason,
    /// The agent's exit code, where it has one.
    pub exit_code: Option<i32>,
    /// Trying again cannot help, so no retry is spent on it.
    pub permanent: bool,
    /// The failure was this worker's: another one shall take the task next.
    pub exclude: Option<WorkerId>,
}

impl Failure {
    /// Makes a failure that may be tried again anywhere.
    #[must_use]
    pub fn new(outcome: AttemptOutcome, code: &'static str, message: impl Into<String>) -> Self {
        let reason = Reason::new(code, message);
        Self { outcome, reason, exit_code: None, permanent: false, exclude: None }
    }

    /// Makes a failure of this worker: another one shall try next, and it counts towards the worker's quarantine.
    #[must_use]
    pub fn of_worker(
        worker: WorkerId,
        outcome: AttemptOutcome,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { exclude: Some(worker), ..Self::new(outcome, code, message) }
    }
}

/// How an attempt ended, as its row tells it.
#[derive(Clone, Debug)]
pub struct AttemptEnd {
    /// The kind of end.
    pub outcome: AttemptOutcome,
    /// The agent's exit code, where it has one.
    pub exit_code: Option<i32>,
}

/// What a task left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskResult {
    /// The commit that holds the work; none if the agent changed nothing.
    pub commit: Option<String>,
    /// The branch of the remote that the commit was pushed to.
    pub branch: Option<String>,
    /// What went wrong with the completion action. It does not make the task fail: the work is in its last checkpoint.
    pub completion_error: Option<String>,
    /// The same and more, as the API tells it.
    pub completion: Box<Completion>,
}

/// One named move of a task. Made by its constructors alone.
#[derive(Clone, Debug)]
pub struct Transition {
    pub(crate) name: &'static str,
    pub(crate) from: &'static [TaskStatus],
    pub(crate) to: TaskStatus,
    pub(crate) epoch: Option<Epoch>,
    pub(crate) reason: Option<Reason>,
    pub(crate) attempt_end: Option<AttemptEnd>,
    pub(crate) spends_retry: bool,
    pub(crate) delay: Option<Duration>,
    pub(crate) exclude: Option<WorkerId>,
    pub(crate) result: TaskResult,
}

impl Transition {
    /// The name of the one move that leaves an end.
    pub(super) const RESTARTED: &str = "restarted";
    /// The code of a task that may spend no more.
    pub const OVER_BUDGET: &str = "OVER_BUDGET";

    fn new(name: &'static str, from: &'static [TaskStatus], to: TaskStatus) -> Self {
        Self {
            name,
            from,
            to,
            epoch: None,
            reason: None,
            attempt_end: None,
            spends_retry: false,
            delay: None,
            exclude: None,
            result: TaskResult::default(),
        }
    }

    /// The workspace is ready and the agent was started.
    #[must_use]
    pub fn started(epoch: Epoch) -> Self {
        Self { epoch: Some(epoch), ..Self::new("started", &[TaskStatus::Starting], TaskStatus::Running) }
    }

    /// The agent ended well and its result is where it belongs: in the base branch, if the task is `merged` by it. A task
    /// whose start was not told goes through `running` on the way: both events are written.
    #[must_use]
    pub fn completed(epoch: Epoch, mut result: TaskResult) -> Self {
        result.completion_error = result.completion_error.map(storable);
        *result.completion = std::mem::take(&mut *result.completion).storable();
        let is_merged = result.completion.status == CompletionStatus::Merged;
        let to = if is_merged { TaskStatus::Merged } else { TaskStatus::Done };
        Self {
            epoch: Some(epoch),
            attempt_end: Some(AttemptEnd { outcome: AttemptOutcome::Completed, exit_code: Some(0) }),
            result,
            ..Self::new("completed", &TaskStatus::ACTIVE, to)
        }
    }

    /// The attempt failed or was lost: the task rests and is tried again, or gives up when its retries are spent.
    ///
    /// A first worker that dies says nothing against its task, which then goes on at once. From the second on the task may
    /// be what kills them.
    #[must_use]
    pub fn attempt_failed(
        epoch: Epoch,
        failure: Failure,
        retry_count: i16,
        max_retries: i16,
        policy: &RetryPolicy,
    ) -> Self {
        let attempt_end = Some(AttemptEnd { outcome: failure.outcome, exit_code: failure.exit_code });
        let retries = !failure.permanent && retry_count < max_retries;
        let is_first_loss = failure.outcome == AttemptOutcome::WorkerLost && retry_count == 0;
        let rest = if is_first_loss { Duration::ZERO } else { policy.delay(retry_count) };
        let (name, to) =
            if retries { ("retried", TaskStatus::Pending) } else { ("gave_up", TaskStatus::Failed) };
        Self {
            epoch: Some(epoch),
            reason: Some(failure.reason),
            attempt_end,
            spends_retry: retries,
            delay: retries.then_some(rest),
            exclude: failure.exclude,
            ..Self::new(name, &TaskStatus::ACTIVE, to)
        }
    }

    /// The worker drains and gives the task back, at the price of no retry. What bounds how often that may be is
    /// [`Transition::handed_back_again`], which workers use.
    #[must_use]
    pub fn handed_back(epoch: Epoch) -> Self {
        Self {
            epoch: Some(epoch),
            reason: Some(Reason::new("WORKER_DRAINING", "the worker is shutting down")),
            attempt_end: Some(AttemptEnd { outcome: AttemptOutcome::HandedBack, exit_code: None }),
            ..Self::new("handed_back", &TaskStatus::ACTIVE, TaskStatus::Queued)
        }
    }

    /// What the task may spend is spent: it stands still at its last checkpoint until somebody raises its caps and starts it.
    #[must_use]
    pub fn over_budget(epoch: Epoch, message: impl Into<String>) -> Self {
        Self {
            epoch: Some(epoch),
            reason: Some(Reason::new(Self::OVER_BUDGET, message)),
            attempt_end: Some(AttemptEnd { outcome: AttemptOutcome::OverBudget, exit_code: None }),
            ..Self::new("interrupted", &[TaskStatus::Running], TaskStatus::Interrupted)
        }
    }

    /// Somebody asked for the task to stop. Whatever its attempt still writes is refused from here on.
    #[must_use]
    pub fn cancelled() -> Self {
        Self {
            reason: Some(Reason::new("STOPPED", "stopped by request")),
            attempt_end: Some(AttemptEnd { outcome: AttemptOutcome::Cancelled, exit_code: None }),
            ..Self::new("cancelled", &TaskStatus::CANCELLABLE, TaskStatus::Cancelled)
        }
    }

    /// A task that this one depends on can no longer be done.
    #[must_use]
    pub fn dependency_failed(message: String) -> Self {
        Self {
            reason: Some(Reason::new("DEPENDENCY_FAILED", message)),
            ..Self::new("dependency_failed", &[TaskStatus::Pending], TaskStatus::Failed)
        }
    }

    /// All that the task waited for is there.
    #[must_use]
    pub(crate) fn released() -> Self {
        Self::new("released", &[TaskStatus::Pending], TaskStatus::Queued)
    }

    /// Somebody asked for a task to run now, whatever its time is. It depends on nothing that is open.
    #[must_use]
    pub(crate) fn expedited() -> Self {
        Self::new("expedited", &[TaskStatus::Pending], TaskStatus::Queued)
    }

    /// Somebody asked for a task that has ended, or was interrupted, to run again. From `pending` it goes on as any other.
    #[must_use]
    pub(crate) fn restarted() -> Self {
        Self::new(Self::RESTARTED, &TaskStatus::RESTARTABLE, TaskStatus::Pending)
    }

    /// Returns how the attempt ends with it, if one does.
    #[must_use]
    pub fn outcome(&self) -> Option<AttemptOutcome> {
        self.attempt_end.as_ref().map(|end| end.outcome)
    }

    /// Returns where the transition leads.
    #[must_use]
    pub fn to(&self) -> TaskStatus {
        self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(permanent: bool) -> Failure {
        Failure {
            outcome: AttemptOutcome::AgentFailed,
            reason: Reason::new("AGENT_FAILED", "exit code 1"),
            exit_code: Some(1),
            permanent,
            exclude: None,
        }
    }

    #[test]
    fn every_transition_is_a_legal_edge() {
        let epoch = Epoch::from(1);
        let policy = RetryPolicy::default();
        let completion = Completion { status: CompletionStatus::Merged, ..Completion::default() };
        let merged = TaskResult { completion: Box::new(completion), ..TaskResult::default() };
        let all = [
            Transition::started(epoch),
            Transition::completed(epoch, TaskResult::default()),
            Transition::completed(epoch, merged),
            Transition::attempt_failed(epoch, failure(false), 0, 3, &policy),
            Transition::attempt_failed(epoch, failure(false), 3, 3, &policy),
            Transition::handed_back(epoch),
            Transition::over_budget(epoch, "spent"),
            Transition::agent_limited(epoch, "AGENT_OVERLOADED", "no room", None, 0, 0, 3),
            Transition::cancelled(),
            Transition::dependency_failed(String::new()),
            Transition::released(),
            Transition::expedited(),
        ];
        for transition in all {
            for from in transition.from {
                if *from == TaskStatus::Starting && TaskStatus::SATISFIED.contains(&transition.to) {
                    // By way of `running`, which has an event of its own.
                    continue;
                }
                assert!(from.may_become(transition.to), "{}: {from} -> {}", transition.name, transition.to);
            }
        }
    }

    #[test]
    fn a_restart_alone_leaves_an_end() {
        let restart = Transition::restarted();
        assert!(TaskStatus::TERMINAL.iter().all(|end| restart.from.contains(end)));
        assert!(restart.from.iter().all(|from| from.is_terminal() || from.may_become(restart.to)));
    }

    #[test]
    fn a_failure_spends_a_retry_until_none_is_left() {
        let policy = RetryPolicy::default();
        let last = Transition::attempt_failed(Epoch::from(3), failure(false), 2, 3, &policy);
        assert_eq!((last.to, last.spends_retry), (TaskStatus::Pending, true));
        let over = Transition::attempt_failed(Epoch::from(4), failure(false), 3, 3, &policy);
        assert_eq!((over.to, over.spends_retry), (TaskStatus::Failed, false));
        let permanent = Transition::attempt_failed(Epoch::from(1), failure(true), 0, 3, &policy);
        assert_eq!(permanent.to, TaskStatus::Failed);
    }

    #[test]
    fn what_a_remote_said_can_be_stored_whatever_it_said() {
        let said = TaskResult {
            completion_error: Some(format!("a\0{}", "b".repeat(9000))),
            ..TaskResult::default()
        };
        let stored = Transition::completed(Epoch::from(1), said).result.completion_error.unwrap();
        assert!(stored.starts_with("a\u{fffd}b") && stored.len() <= 4096);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reason = Reason::new("X", "ü".repeat(4096));
        assert!(reason.message.len() <= 4096 && reason.message.ends_with('ü'));
    }
}
