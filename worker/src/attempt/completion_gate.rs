//! Loop mode: whether the task is finished after a round, and whether another round can be of use.
//!
//! The number of rounds counts over all attempts, by their events; what else speaks against another one, within the attempt.

use makima_shared::domain::{AttemptOutcome, EventKind, Failure, LoopMode};
use makima_shared::store::Fenced;
use serde_json::json;

use super::prepare::accepted;
use super::run_agent::{Outcome, Rounds};
use super::verify;
use super::{Attempt, End};

/// How many rounds in a row may leave the tree as it was.
const MAX_UNCHANGED: u32 = 3;
/// How many rounds in a row may end with the same error.
const MAX_SAME_ERRORS: u32 = 5;

/// The rounds of a loop.
pub(super) struct Loop<'a> {
    attempt: &'a Attempt<'a>,
    mode: &'a LoopMode,
    /// The number of the round that goes on, over all attempts.
    pub(super) round: u32,
    breaker: Breaker,
}

/// What came of a round.
pub(super) enum Judgment {
    /// The task is finished.
    Ready,
    /// It is not: this is what the agent is told in the next round.
    Again(String),
}

impl<'a> Loop<'a> {
    /// Begins behind the rounds of the attempts before; none if the agent is run once.
    pub(super) async fn open(
        attempt: &'a Attempt<'a>,
        restored_tree: Option<String>,
    ) -> Result<Option<Self>, End> {
        let Some(mode) = attempt.task.agent.loop_mode() else { return Ok(None) };
        let (store, task) = (&attempt.context().store, attempt.task.id);
        let asking = attempt.insist(|| async {
            Ok(Fenced::Accepted(store.loop_rounds_count(task, LoopMode::ROUND_CODE).await?))
        });
        let before = u32::try_from(accepted(asking.await)?).unwrap_or(u32::MAX);
        let breaker = Breaker { tree: restored_tree, ..Breaker::default() };
        let this = Self { attempt, mode, round: before.saturating_add(1), breaker };
        if before >= mode.max_rounds {
            // A worker died between the last round and its end.
            return Err(this.over("LOOP_ROUNDS_SPENT", "the task is not finished, and its rounds are spent"));
        }
        Ok(Some(this))
    }

    /// Judges a round that ended well.
    pub(super) async fn judge(
        &mut self,
        rounds: &mut Rounds<'_>,
        outcome: &Outcome,
    ) -> Result<Judgment, End> {
        let was_kept = outcome.is_saved;
        let tree = rounds.checkpointer.tree().map(str::to_owned);
        if !self.mode.verify.is_empty() {
            let verified = verify::run(rounds, &self.mode.verify).await?;
            let left_behind = rounds.checkpointer.tree().map(str::to_owned);
            return match verified {
                verify::Verified::Passed => self.ready("the verify command passed").await,
                verify::Verified::Failed(words) => {
                    let error = Some(words.clone());
                    let change = self.breaker.take(tree, left_behind, was_kept, error);
                    self.again(&format!("the verify command failed: {words}"), change).await
                }
            };
        }
        match &outcome.heard.gate {
            Some(gate) if gate.is_ready => self.ready(&gate.reason).await,
            gate => {
                let reason = gate.as_ref().map_or("it wrote no COMPLETION_GATE line", |gate| &gate.reason);
                let trip = self.breaker.take(tree.clone(), tree, was_kept, None);
                self.again(reason, trip).await
            }
        }
    }

    /// Judges a round that ended with an error of the agent's.
    pub(super) async fn judge_failed(
        &mut self,
        rounds: &Rounds<'_>,
        outcome: &Outcome,
        failure: &Failure,
    ) -> Result<Judgment, End> {
        let tree = rounds.checkpointer.tree().map(str::to_owned);
        let words = failure.reason.message.clone();
        let trip = self.breaker.take(tree.clone(), tree, outcome.is_saved, Some(words.clone()));
        self.again(&words, trip).await
    }

    async fn ready(&mut self, reason: &str) -> Result<Judgment, End> {
        self.tell(true, reason).await?;
        self.round += 1;
        Ok(Judgment::Ready)
    }

    async fn again(&mut self, reason: &str, trip: Option<Trip>) -> Result<Judgment, End> {
        self.tell(false, reason).await?;
        let most = self.mode.max_rounds;
        match trip {
            Some(Trip::SameError) => {
                let message =
                    format!("{MAX_SAME_ERRORS} rounds in a row ended with the same error: {reason}");
                return Err(self.over("LOOP_SAME_ERROR", message));
            }
            Some(Trip::NoChange) => {
                let message =
                    format!("{MAX_UNCHANGED} rounds in a row changed no file; the last one: {reason}");
                return Err(self.over("LOOP_NO_CHANGE", message));
            }
            None if self.round >= most => {
                let message = format!("the task is not finished after {most} rounds: {reason}");
                return Err(self.over("LOOP_ROUNDS_SPENT", message));
            }
            None => {}
        }
        self.round += 1;
        let prompt = format!(
            "This is round {} of at most {most}. The task is not finished yet, as of the round before: {reason}\nGo on until it \
             is.",
            self.round
        );
        let asks = if self.mode.verify.is_empty() { " End with your COMPLETION_GATE line." } else { "" };
        Ok(Judgment::Again(prompt + asks))
    }

    /// Gives the task up, which no other try would help.
    fn over(&self, code: &'static str, message: impl Into<String>) -> End {
        let failure = Failure::new(AttemptOutcome::AgentFailed, code, message);
        End::Failed(Failure { permanent: true, ..failure })
    }

    async fn tell(&self, is_ready: bool, reason: &str) -> Result<(), End> {
        let words = if is_ready { "the task is finished" } else { "the task is not finished" };
        let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let message = format!("round {} of {}: {words}{because}", self.round, self.mode.max_rounds);
        let notice = json!({ "code": LoopMode::ROUND_CODE, "message": message, "round": self.round, "ready": is_ready });
        let (store, task, notices) = (&self.attempt.context().store, self.attempt.task, [notice]);
        let append = || store.events_append(task.id, task.epoch, EventKind::Notice, &notices);
        accepted(self.attempt.insist(append).await).map(drop)
    }
}

/// Why another round is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trip {
    NoChange,
    SameError,
}

/// Counts the rounds that led nowhere.
#[derive(Debug, Default)]
struct Breaker {
    /// The tree that the round before left.
    tree: Option<String>,
    unchanged: u32,
    error: Option<String>,
    same_errors: u32,
}

impl Breaker {
    /// Takes in a round that left this tree, to which its judgment may have added. A tree that is not known is a change.
    fn take(
        &mut self,
        tree: Option<String>,
        left_behind: Option<String>,
        is_known: bool,
        error: Option<String>,
    ) -> Option<Trip> {
        self.unchanged = if is_known && tree == self.tree { self.unchanged + 1 } else { 0 };
        self.tree = left_behind;
        let error = error.map(|error| without_numbers(&error));
        self.same_errors = match (&error, &self.error) {
            (Some(now), Some(before)) if now == before => self.same_errors + 1,
            (Some(_), _) => 1,
            (None, _) => 0,
        };
        self.error = error;
        if self.same_errors >= MAX_SAME_ERRORS {
            Some(Trip::SameError)
        } else if self.unchanged >= MAX_UNCHANGED {
            Some(Trip::NoChange)
        } else {
            None
        }
    }
}

/// Leaves out what differs from time to time: durations, ports, ids of processes.
fn without_numbers(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(name: u32) -> Option<String> {
        Some(name.to_string())
    }

    #[test]
    fn three_rounds_without_a_change_are_too_many() {
        let mut breaker = Breaker::default();
        let mut take = |name, is_known| breaker.take(tree(name), tree(name), is_known, None);
        assert_eq!([1, 1, 1, 2, 2, 2].map(|name| take(name, true)), [None; 6]);
        assert_eq!(take(2, false), None, "what is not saved may have changed");
        assert_eq!([2, 2].map(|name| take(name, true)), [None; 2]);
        assert_eq!(take(2, true), Some(Trip::NoChange));
        let mut at_base = Breaker::default();
        let ends = [0; 3].map(|_| at_base.take(None, None, true, None));
        assert_eq!(ends, [None, None, Some(Trip::NoChange)]);
    }

    #[test]
    fn the_same_error_five_times_is_too_often_whatever_its_numbers() {
        let mut breaker = Breaker::default();
        let mut take =
            |name, error: Option<&str>| breaker.take(tree(name), tree(name), true, error.map(str::to_owned));
        for name in 1..5 {
            assert_eq!(take(name, Some(&format!("failed in {name} ms"))), None);
        }
        assert_eq!(take(5, Some("failed in 17 ms")), Some(Trip::SameError));
        assert_eq!((take(6, None), take(7, Some("failed in 1 ms"))), (None, None));
    }
}
