//! The invariants, one file each: a function from the evidence to the rows that break it.
//!
//! The numbers are those of the list of invariants.

mod cancels;
mod cron;
mod dependencies;
mod epochs;
mod fates;
mod fold;
mod keys;
mod leaks;
mod ledger;
mod output;
mod owners;
mod poison;
mod pushes;
mod resume;
mod roles;
mod stuck;
mod terminal;

#[cfg(test)]
mod staged;

use crate::evidence::Evidence;

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// How many things were looked at.
    pub(crate) judged: usize,
    /// What breaks the invariant, each in words.
    pub(crate) broken: Vec<String>,
}

/// An invariant with what was found.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) number: &'static str,
    pub(crate) invariant: &'static str,
    pub(crate) findings: Findings,
}

impl Findings {
    /// Looks at one thing, and notes it if it breaks the invariant.
    fn judge(&mut self, holds: bool, words: impl FnOnce() -> String) {
        self.judged += 1;
        if !holds {
            self.broken.push(words());
        }
    }

    /// Takes a list of what breaks the invariant, found among `judged`.
    fn of(judged: usize, broken: Vec<String>) -> Self {
        Self { judged, broken }
    }
}

/// Judges all invariants.
pub(crate) fn judge(evidence: &Evidence) -> Vec<Verdict> {
    type Check = fn(&Evidence) -> Findings;
    let checks: [(&str, &str, Check); 17] = [
        ("1", "no accepted task is lost", ledger::judge),
        ("2", "one task per idempotency key and owner", keys::judge),
        ("3", "at most one epoch writes at any moment", epochs::judge),
        ("4", "folding the events gives the state", fold::judge),
        ("5", "terminal is final", terminal::judge),
        ("6", "a resume loses at most one checkpoint interval", resume::judge),
        ("7", "parents first, and children released once, in time", dependencies::judge),
        ("8", "a poison task stops after its retries, on different workers", poison::judge),
        ("9", "each due time of a schedule has one run", cron::judge),
        ("10", "nothing is stuck", stuck::judge),
        ("11", "cancel wins", cancels::judge),
        ("12", "no row's owner differs from its task's", owners::judge),
        ("13", "nothing leaks", leaks::judge),
        ("14", "output is complete, or says where it was cut", output::judge),
        ("15", "a push is fenced", pushes::judge),
        ("+", "every task ends as its kind must", fates::judge),
        ("+", "no role ends by itself", roles::judge),
    ];
    let judged =
        checks.map(|(number, invariant, check)| Verdict { number, invariant, findings: check(evidence) });
    judged.into_iter().collect()
}
