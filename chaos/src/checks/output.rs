//! 14: an attempt's output is complete, or a notice or its end says where it was cut.
//!
//! Agents number what they say (`out <epoch> <number>`) and close with `out <epoch> end <count>`.

use makima_shared::domain::{AttemptOutcome, EventKind};

use super::Findings;
use crate::evidence::{Evidence, History};

/// Names attempts with a gap in their output, and completed ones whose end is missing without a word.
pub(super) fn judge(evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    for (task, history) in &evidence.histories {
        for attempt in &history.attempts {
            let said = Said::of(history, attempt.epoch);
            let name = || format!("{}, epoch {}", evidence.name(*task), attempt.epoch);
            findings.judge(said.gap.is_none(), || format!("{}: {:?} is out of order", name(), said.gap));
            let is_complete = said.closed_with == Some(said.count);
            let must_be = attempt.outcome == Some(AttemptOutcome::Completed) && !said.is_cut;
            findings.judge(is_complete || !must_be, || {
                format!(
                    "{}: {} lines are there, and it closed with {:?}",
                    name(),
                    said.count,
                    said.closed_with
                )
            });
        }
    }
    findings
}

/// What an attempt said, as it was kept.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// How many numbered lines came without a gap.
    count: u32,
    /// The first line that does not follow.
    gap: Option<String>,
    /// What the last line says.
    closed_with: Option<u32>,
    /// A notice says that something is missing.
    is_cut: bool,
}

impl Said {
    fn of(history: &History, epoch: i64) -> Self {
        let mut said = Self::default();
        let prefix = format!("out {epoch} ");
        for event in history.events.iter().filter(|event| event.epoch.number() == epoch) {
            if event.kind == EventKind::Notice && event.data["code"] == "OUTPUT_CUT" {
                said.is_cut = true;
            }
            let text = event.data["text"].as_str().filter(|_| event.kind == EventKind::Output);
            if let Some(rest) = text.and_then(|text| text.strip_prefix(&prefix)) {
                said.take(rest);
            }
        }
        said
    }

    fn take(&mut self, rest: &str) {
        if let Some(count) = rest.strip_prefix("end ") {
            self.closed_with = count.parse().ok();
        } else if rest.parse() == Ok(self.count + 1) && self.closed_with.is_none() {
            self.count += 1;
        } else {
            self.gap.get_or_insert_with(|| rest.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::staged::Staged;

    #[test]
    fn complete_output_is_fine() {
        assert!(
            judge(&Staged::saying(&["out 1 1", "noise", "out 1 2", "out 1 end 2"]).evidence)
                .broken
                .is_empty()
        );
    }

    #[test]
    fn a_gap_a_repetition_and_a_missing_end_are_named() {
        for lines in
            [&["out 1 1", "out 1 3", "out 1 end 1"][..], &["out 1 1", "out 1 1", "out 1 end 1"], &["out 1 1"]]
        {
            assert_eq!(judge(&Staged::saying(lines).evidence).broken.len(), 1, "{lines:?}");
        }
    }
}
