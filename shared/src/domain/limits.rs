//! How many of an owner's tasks may be released at once, and which of those that wait are next.

use std::collections::HashMap;

use super::{ContractId, TaskId};

/// What an owner may have running at once. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunningLimits {
    /// In all.
    pub owner: Option<u32>,
    /// Of one contract.
    pub contract: Option<u32>,
    /// On one repository.
    pub repository: Option<u32>,
}

/// A task that waits for a slot.
#[derive(Clone, Debug)]
pub struct SlotCandidate {
    /// The task.
    pub id: TaskId,
    /// The contract that it is a part of.
    pub contract_id: Option<ContractId>,
    /// The repository it works on.
    pub repository_url: String,
}

/// How many slots are held.
#[derive(Clone, Debug, Default)]
pub struct SlotsHeld {
    total: u32,
    contracts: HashMap<ContractId, u32>,
    repositories: HashMap<String, u32>,
}

impl SlotsHeld {
    /// Counts `count` held slots of one contract and repository.
    pub fn add(&mut self, contract: Option<ContractId>, repository: &str, count: u32) {
        self.total += count;
        if let Some(contract) = contract {
            *self.contracts.entry(contract).or_default() += count;
        }
        *self.repositories.entry(repository.to_owned()).or_default() += count;
    }

    /// Lists the contracts that may have no more.
    #[must_use]
    pub fn full_contracts(&self, limits: &RunningLimits) -> Vec<ContractId> {
        let full = |count: u32| limits.contract.is_some_and(|limit| count >= limit);
        self.contracts.iter().filter(|(_, count)| full(**count)).map(|(id, _)| *id).collect()
    }

    /// Lists the repositories that may have no more.
    #[must_use]
    pub fn full_repositories(&self, limits: &RunningLimits) -> Vec<String> {
        let full = |count: u32| limits.repository.is_some_and(|limit| count >= limit);
        self.repositories.iter().filter(|(_, count)| full(**count)).map(|(url, _)| url.clone()).collect()
    }

    /// Takes as many of `candidates`, in their order, as the limits leave room for.
    #[must_use]
    pub fn admit(mut self, candidates: &[SlotCandidate], limits: &RunningLimits) -> Vec<TaskId> {
        let mut admitted = Vec::new();
        for task in candidates {
            if self.has_room(task, limits) {
                self.add(task.contract_id, &task.repository_url, 1);
                admitted.push(task.id);
            }
        }
        admitted
    }

    fn has_room(&self, task: &SlotCandidate, limits: &RunningLimits) -> bool {
        let below = |count: u32, limit: Option<u32>| limit.is_none_or(|limit| count < limit);
        let of_contract = task.contract_id.and_then(|id| self.contracts.get(&id)).copied().unwrap_or(0);
        let on_repository = self.repositories.get(&task.repository_url).copied().unwrap_or(0);
        below(self.total, limits.owner)
            && (task.contract_id.is_none() || below(of_contract, limits.contract))
            && below(on_repository, limits.repository)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(contract: Option<ContractId>, repository: &str) -> SlotCandidate {
        SlotCandidate { id: TaskId::new(), contract_id: contract, repository_url: repository.to_owned() }
    }

    #[test]
    fn every_limit_holds_and_a_full_group_does_not_keep_the_others() {
        let contract = ContractId::new();
        let tasks = [
            candidate(Some(contract), "a"),
            candidate(Some(contract), "b"),
            candidate(None, "a"),
            candidate(None, "c"),
            candidate(None, "d"),
        ];
        let limits = RunningLimits { owner: Some(3), contract: Some(1), repository: Some(1) };
        let mut held = SlotsHeld::default();
        held.add(None, "z", 1);
        assert_eq!(held.admit(&tasks, &limits), [tasks[0].id, tasks[3].id]);
    }

    #[test]
    fn what_is_full_is_known() {
        let limits = RunningLimits { owner: None, contract: None, repository: Some(2) };
        let mut held = SlotsHeld::default();
        held.add(None, "a", 2);
        held.add(None, "b", 1);
        assert_eq!(held.full_repositories(&limits), ["a"]);
        assert!(held.full_contracts(&limits).is_empty());
    }
}
