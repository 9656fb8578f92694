//! The plan: all faults in order, from a seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::FaultKind;

/// How long after the fault before it a fault strikes. Short ones let faults overlap.
const GAP_MS: std::ops::RangeInclusive<u64> = 500..=6500;

/// A fault that is to strike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Planned {
    pub(crate) number: usize,
    pub(crate) kind: FaultKind,
    /// The pause before it.
    pub(crate) gap: Duration,
    /// Chooses among what there is to hit; each fault divides it as it needs.
    pub(crate) pick: u64,
    /// A figure from 0 to 1 for how long it lasts, where that is open.
    pub(crate) extent: f64,
}

impl Planned {
    /// Plans `count` faults of these kinds; of all kinds if none is named.
    pub(crate) fn all(seed: u64, count: usize, only: &[FaultKind]) -> Vec<Self> {
        let mut rng = StdRng::seed_from_u64(seed);
        let kinds: Vec<_> = FaultKind::WEIGHTS
            .into_iter()
            .filter(|(kind, _)| only.is_empty() || only.contains(kind))
            .collect();
        let faults = (1..=count).map(|number| Self {
            number,
            kind: any_kind(&mut rng, &kinds),
            gap: Duration::from_millis(rng.random_range(GAP_MS)),
            pick: rng.random(),
            extent: rng.random(),
        });
        faults.collect()
    }

    /// Chooses one of `count` targets.
    pub(super) fn choose(&self, count: usize) -> usize {
        place(self.pick, count)
    }

    /// Chooses one of `count` manners, which has nothing to do with the target.
    pub(super) fn manner(&self, count: usize) -> usize {
        place(self.pick >> 32, count)
    }

    /// Chooses a duration.
    pub(super) fn between(&self, low: Duration, high: Duration) -> Duration {
        low + (high.saturating_sub(low)).mul_f64(self.extent)
    }
}

fn place(pick: u64, count: usize) -> usize {
    usize::try_from(pick % u64::try_from(count).unwrap_or(u64::MAX).max(1)).unwrap_or(0)
}

fn any_kind(rng: &mut StdRng, kinds: &[(FaultKind, u32)]) -> FaultKind {
    let all: u32 = kinds.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.random_range(0..all);
    for (kind, weight) in kinds {
        if left < *weight {
            return *kind;
        }
        left -= weight;
    }
    FaultKind::KillWorker
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_replays_the_order_of_faults_and_all_kinds_come() {
        assert_eq!(Planned::all(42, 200, &[]), Planned::all(42, 200, &[]));
        assert_ne!(Planned::all(42, 200, &[]), Planned::all(43, 200, &[]));
        let planned = Planned::all(1, 1000, &[]);
        for (kind, _) in FaultKind::WEIGHTS {
            assert!(planned.iter().any(|fault| fault.kind == kind), "{kind:?}");
        }
    }

    #[test]
    fn a_longer_plan_begins_like_a_shorter_one() {
        assert_eq!(Planned::all(5, 300, &[])[..10], Planned::all(5, 10, &[]));
    }
}
