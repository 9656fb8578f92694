//! When a run is killed, and how: decided by the seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// About as long as a step takes, so that a kill falls anywhere in one.
const STEP_MS: u64 = 250;

/// How much dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The worker's process alone: its agent has to die of that. It comes back where it was.
    Worker,
    /// The worker with all processes below it, at once. It comes back where it was.
    Processes,
    /// The same, and its disk with all that was on it. It comes back empty.
    Machine,
}

/// One kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kill {
    /// The step that the agent has to have made.
    pub(super) step: u32,
    /// How long after that.
    pub(super) delay: Duration,
    pub(super) way: Way,
    /// Whether it waits until there is a checkpoint to resume from.
    pub(super) wants_checkpoint: bool,
}

impl Kill {
    /// Plans so many kills in the order in which they happen. Each way has its turn.
    pub(super) fn all(seed: u64, count: u16, steps: u32) -> Vec<Self> {
        let mut rng = StdRng::seed_from_u64(seed);
        // The last steps are left out, so that there is something to kill yet.
        let mut at: Vec<u32> = (0..count).map(|_| rng.random_range(1..=steps - steps / 10)).collect();
        at.sort_unstable();
        let mut ways = Vec::new();
        while ways.len() < at.len() {
            let mut turn = [Way::Worker, Way::Processes, Way::Machine];
            turn.shuffle(&mut rng);
            ways.extend(turn);
        }
        let last = at.len() - 1;
        let kill = |(place, (step, way))| Self {
            step,
            delay: Duration::from_millis(rng.random_range(0..STEP_MS)),
            way,
            wants_checkpoint: place == last,
        };
        at.into_iter().zip(ways).enumerate().map(kill).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_kills_and_each_way_has_its_turn() {
        assert_eq!(Kill::all(7, 5, 125), Kill::all(7, 5, 125));
        assert_ne!(Kill::all(7, 5, 125), Kill::all(8, 5, 125));
        for seed in 0..100 {
            let kills = Kill::all(seed, 5, 125);
            assert!(kills.is_sorted_by_key(|kill| kill.step) && kills[4].wants_checkpoint);
            for way in [Way::Worker, Way::Processes, Way::Machine] {
                assert!(kills.iter().any(|kill| kill.way == way));
            }
        }
    }
}
