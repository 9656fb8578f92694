//! Loop mode: an agent is run again until its task is finished.

use serde::{Deserialize, Serialize};

use super::FieldError;
use super::agent::problem_of_command;

/// Runs the agent in rounds, each in the workspace and with the conversation of the one before, until the task is finished: by
/// the last line `COMPLETION_GATE: {"ready": true, "reason": ".."}` that it wrote in the round, or by a command of the task's.
/// Three rounds without a change of the tree, five with the same error, and the last round end the task as `failed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoopMode {
    /// How many rounds the task may have, over all attempts: 1 to 1,000.
    #[serde(default = "LoopMode::default_rounds")]
    #[schema(minimum = 1, maximum = 1000, default = 20)]
    pub max_rounds: u32,
    /// A program and its arguments, run in the workspace after each round that ended well: the task is finished once it exits
    /// with 0, whatever the agent says. It may take 10 minutes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 256, example = json!(["sh", "-c", "make test"]))]
    pub verify: Vec<String>,
}

impl LoopMode {
    /// How the event of a round is known.
    pub const ROUND_CODE: &str = "LOOP_ROUND";
    const MOST_ROUNDS: u32 = 1000;

    /// Returns how many rounds a task may have that names no number.
    #[must_use]
    pub const fn default_rounds() -> u32 {
        20
    }

    /// Names what is wrong with it, if anything is.
    pub(super) fn problem(&self) -> Option<FieldError> {
        if !(1..=Self::MOST_ROUNDS).contains(&self.max_rounds) {
            return Some(FieldError::new("agent.loop.maxRounds", "must be 1 to 1,000"));
        }
        if self.verify.is_empty() {
            return None;
        }
        problem_of_command(&self.verify).map(|problem| FieldError::new("agent.loop.verify", problem))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Agent;

    fn mode(json: serde_json::Value) -> LoopMode {
        let agent: Agent = serde_json::from_value(json!({"kind": "claude", "loop": json})).unwrap();
        agent.loop_mode().unwrap().clone()
    }

    #[test]
    fn a_loop_is_bounded_and_its_command_is_one() {
        assert_eq!(mode(json!({})), LoopMode { max_rounds: 20, verify: Vec::new() });
        for good in [json!({"maxRounds": 1}), json!({"maxRounds": 1000, "verify": ["true"]})] {
            assert_eq!(mode(good).problem(), None);
        }
        for bad in [json!({"maxRounds": 0}), json!({"maxRounds": 1001}), json!({"verify": [""]})] {
            assert!(mode(bad.clone()).problem().is_some(), "{bad}");
        }
        let unknown = json!({"kind": "command", "argv": ["a"], "loop": {"rounds": 1}});
        assert!(serde_json::from_value::<Agent>(unknown).is_err());
    }
}
