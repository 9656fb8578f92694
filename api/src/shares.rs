//! What the process gives out at once, and how much of it one owner may have: no key takes everything from the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use makima_shared::domain::OwnerId;

/// A supply. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    taken: Arc<Mutex<Taken>>,
    of_process: usize,
    of_owner: usize,
}

#[derive(Debug, Default)]
struct Taken {
    in_all: usize,
    by_owner: HashMap<OwnerId, usize>,
}

/// What somebody has taken. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Share {
    shares: Shares,
    owner: OwnerId,
    amount: usize,
}

impl Shares {
    pub(crate) fn new(of_process: usize, of_owner: usize) -> Self {
        Self { taken: Arc::default(), of_process, of_owner: of_owner.min(of_process) }
    }

    /// Takes an amount; none if the owner or the process would have more than it may. An amount beyond what an owner may
    /// have counts as all of that, so that nothing is refused for ever.
    pub(crate) fn take(&self, owner: OwnerId, amount: usize) -> Option<Share> {
        let amount = amount.min(self.of_owner);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_owner = taken.by_owner.get(&owner).copied().unwrap_or_default();
        if taken.in_all + amount > self.of_process || of_owner + amount > self.of_owner {
            return None;
        }
        taken.in_all += amount;
        taken.by_owner.insert(owner, of_owner + amount);
        drop(taken);
        Some(Share { shares: self.clone(), owner, amount })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.in_all -= self.amount;
        let Some(of_owner) = taken.by_owner.get_mut(&self.owner) else { return };
        *of_owner -= self.amount;
        if *of_owner == 0 {
            taken.by_owner.remove(&self.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_an_owner_nor_all_of_them_take_more_than_they_may() {
        let shares = Shares::new(5, 2);
        let owners = [(); 4].map(|()| OwnerId::new());
        let take = |owner: usize| shares.take(owners[owner], 1);
        let mut held: Vec<_> = [0, 0, 1, 1].map(|owner| take(owner).unwrap()).into();
        assert!(take(0).is_none(), "the owner has all it may have");
        held.push(take(2).unwrap());
        assert!(take(3).is_none(), "the process has none left");
        held.clear();
        assert!(take(3).is_some());
        assert!(shares.taken.lock().unwrap().by_owner.is_empty());
    }

    #[test]
    fn more_than_an_owner_may_have_counts_as_all_of_it() {
        let shares = Shares::new(10, 4);
        let owner = OwnerId::new();
        let whole = shares.take(owner, 100).unwrap();
        assert!(shares.take(owner, 1).is_none());
        assert!(shares.take(OwnerId::new(), 4).is_some());
        drop(whole);
        assert!(shares.take(owner, 4).is_some());
    }
}
