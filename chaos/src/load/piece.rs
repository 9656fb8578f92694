//! What the load submits next: one task, or a small graph of them, as the seed decides.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::Kind;
use crate::stack::OWNERS;

/// A graph with a task that fails falls as a whole, so few of them have one.
const ANY_KIND_IN_GRAPH: f64 = 0.1;
const STOPPED: f64 = 0.06;
const SENT_AGAIN: f64 = 0.1;
const PUSHED: f64 = 0.7;

/// A task that is to be submitted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draft {
    pub(crate) kind: Kind,
    /// How many lines its agent writes.
    pub(crate) lines: u32,
    priority: u8,
    /// Whether its result is pushed.
    pub(crate) is_pushed: bool,
    /// The places of its parents in the piece.
    pub(crate) parents: Vec<usize>,
    /// When after its submission it is stopped.
    pub(crate) stop_after: Option<Duration>,
    /// Whether its submission is sent once more after it was answered.
    pub(crate) is_sent_again: bool,
}

/// Tasks of one owner, parents first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Piece {
    pub(crate) owner: usize,
    pub(crate) tasks: Vec<Draft>,
}

impl Piece {
    /// Decides on the next piece.
    pub(crate) fn any(rng: &mut StdRng) -> Self {
        let parents = match rng.random_range(0..100) {
            0..45 => vec![vec![]],
            45..85 => graph(rng),
            _ => chain(rng.random_range(3..=5)),
        };
        let is_alone = parents.len() == 1;
        Self::of(rng, parents, |rng| {
            if is_alone || rng.random_bool(ANY_KIND_IN_GRAPH) { any_kind(rng) } else { good_kind(rng) }
        })
    }

    /// Decides on a graph of tasks that end at once, none of which is stopped.
    pub(crate) fn good_graph(rng: &mut StdRng) -> Self {
        let parents = if rng.random_bool(0.5) { graph(rng) } else { chain(rng.random_range(3..=6)) };
        let mut piece = Self::of(rng, parents, |_| Kind::Quick);
        piece.tasks.iter_mut().for_each(|task| task.stop_after = None);
        piece
    }

    /// Makes one task of a kind.
    pub(crate) fn one(rng: &mut StdRng, kind: Kind) -> Self {
        let mut piece = Self::of(rng, vec![vec![]], |_| kind);
        piece.tasks.iter_mut().for_each(|task| task.stop_after = None);
        piece
    }

    fn of(rng: &mut StdRng, parents: Vec<Vec<usize>>, kind: impl Fn(&mut StdRng) -> Kind) -> Self {
        let owner = rng.random_range(0..OWNERS.len());
        let tasks = parents.into_iter().map(|parents| {
            let kind = kind(rng);
            Draft::any(rng, kind, parents)
        });
        Self { owner, tasks: tasks.collect() }
    }
}

impl Draft {
    fn any(rng: &mut StdRng, kind: Kind, parents: Vec<usize>) -> Self {
        let is_stopped = rng.random_bool(STOPPED);
        Self {
            kind,
            lines: rng.random_range(2..=14),
            priority: rng.random_range(0..=100),
            is_pushed: kind == Kind::Lines && rng.random_bool(PUSHED),
            parents,
            stop_after: is_stopped.then(|| Duration::from_millis(rng.random_range(0..4000))),
            is_sent_again: rng.random_bool(SENT_AGAIN),
        }
    }

    /// Returns the body of its submission.
    pub(crate) fn body(&self, name: &str, repository: &str, witness: &str, parents: &[String]) -> Value {
        let mut body = json!({
            "name": name, "plan": "Survive.", "repositoryUrl": repository, "priority": self.priority,
            "agent": {"kind": "command", "argv": ["sh", "-euc", self.kind.script()]},
            "maxRetries": self.kind.max_retries(), "checkpointIntervalSecs": 1, "dependsOn": parents,
            "completionAction": if self.is_pushed { "push" } else { "none" },
            "env": {"CHAOS_WITNESS": witness, "CHAOS_LINES": self.lines.to_string()},
        });
        if let Some(seconds) = self.kind.timeout_secs() {
            body["timeoutSecs"] = seconds.into();
        }
        body
    }
}

fn any_kind(rng: &mut StdRng) -> Kind {
    let mut left = rng.random_range(0..1000);
    for (kind, weight) in Kind::WEIGHTS {
        if left < weight {
            return kind;
        }
        left -= weight;
    }
    Kind::Lines
}

fn good_kind(rng: &mut StdRng) -> Kind {
    if rng.random_bool(0.7) { Kind::Lines } else { Kind::Quick }
}

fn chain(length: usize) -> Vec<Vec<usize>> {
    (0..length).map(|place| place.checked_sub(1).into_iter().collect()).collect()
}

/// Fan-out, fan-in, or one after the other.
fn graph(rng: &mut StdRng) -> Vec<Vec<usize>> {
    let width = rng.random_range(2..=5);
    let fan_out = std::iter::repeat_n(vec![0], width);
    match rng.random_range(0..3) {
        0 => std::iter::once(vec![]).chain(fan_out).collect(),
        1 => std::iter::repeat_n(vec![], width).chain([(0..width).collect()]).collect(),
        _ => std::iter::once(vec![]).chain(fan_out).chain([(1..=width).collect()]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_seed_decides_the_load_and_parents_come_first() {
        let pieces = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            (0..200).map(|_| Piece::any(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(pieces(7), pieces(7));
        assert_ne!(pieces(7), pieces(8));
        for piece in pieces(7) {
            for (place, task) in piece.tasks.iter().enumerate() {
                assert!(task.parents.iter().all(|parent| *parent < place));
            }
        }
    }
}
