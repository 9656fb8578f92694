//! Scripts: what the model does, step by step.
//!
//! A step is an object of one of these, and of `"wait": "gate"` and `"usage"` where it has them:
//!
//! | step | what the model does |
//! |---|---|
//! | `{"say": "text"}` | says it, which ends the turn |
//! | `{"run": "command"}` | has the client's shell run it |
//! | `{"use": "Write", "input": {..}}` | uses any tool of the client |
//! | `{"refuse": 429, "kind": "..", "message": "..", "headers": {..}, "until": "gate"}` | answers a status, until the gate opens |
//! | `{"break": "overloaded_error", "message": ".."}` | begins to answer, and fails within the answer |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a line of a prompt begins with that holds a script.
const MARK: &str = "SCRIPT: ";

/// One answer of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What it does.
    #[serde(flatten)]
    pub what: Do,
    /// The gate at which the answer waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
    /// What the answer is said to have cost.
    #[serde(default)]
    pub usage: Usage,
}

/// What the model does in a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Do {
    /// Says something, and ends its turn.
    Say {
        /// What it says.
        say: String,
    },
    /// Has the client's shell run a command.
    Run {
        /// The command.
        run: String,
    },
    /// Uses a tool by its name.
    Use {
        /// The tool.
        #[serde(rename = "use")]
        tool: String,
        /// What the tool is given.
        input: Value,
    },
    /// Answers a status that is an error.
    Refuse(Refusal),
    /// Begins to answer, and fails.
    Break(Broken),
}

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// The HTTP status.
    pub refuse: u16,
    /// The vendor's name for the error.
    #[serde(default)]
    pub kind: String,
    /// What it says to people.
    #[serde(default)]
    pub message: String,
    /// Headers of the answer.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Further fields of the error.
    #[serde(default)]
    pub fields: serde_json::Map<String, Value>,
    /// The gate that ends it: once that is open, the next step is answered instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// An error within an answer that began well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Broken {
    /// The vendor's name for the error.
    #[serde(rename = "break")]
    pub kind: String,
    /// What it says to people.
    #[serde(default)]
    pub message: String,
    /// The gate that ends it, as for [`Refusal::until`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// Tokens of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens read, without those of the cache.
    pub input: u64,
    /// Tokens read from the cache.
    pub cached: u64,
    /// Tokens written.
    pub output: u64,
}

impl Default for Usage {
    fn default() -> Self {
        Self { input: 100, cached: 0, output: 20 }
    }
}

impl Step {
    /// Makes a step that says something.
    #[must_use]
    pub fn say(text: &str) -> Self {
        Do::Say { say: text.to_owned() }.into()
    }

    /// Makes a step that runs a command.
    #[must_use]
    pub fn run(command: &str) -> Self {
        Do::Run { run: command.to_owned() }.into()
    }

    /// Makes the step wait at a gate.
    #[must_use]
    pub fn at(mut self, gate: &str) -> Self {
        self.wait = Some(gate.to_owned());
        self
    }

    /// Returns the gate that ends the step, if it is one that leaves no trace in the conversation.
    pub(crate) fn ended_by(&self) -> Option<&str> {
        match &self.what {
            Do::Refuse(refusal) => refusal.until.as_deref(),
            Do::Break(broken) => broken.until.as_deref(),
            Do::Say { .. } | Do::Run { .. } | Do::Use { .. } => None,
        }
    }
}

impl From<Do> for Step {
    fn from(what: Do) -> Self {
        Self { what, wait: None, usage: Usage::default() }
    }
}

impl From<Refusal> for Step {
    fn from(refusal: Refusal) -> Self {
        Do::Refuse(refusal).into()
    }
}

/// Writes steps as the line of a prompt that makes the model follow them.
///
/// # Panics
/// Never: steps are JSON.
#[must_use]
#[expect(clippy::expect_used, reason = "strings and numbers are JSON")]
pub fn script_line(steps: &[Step]) -> String {
    format!("{MARK}{}", serde_json::to_string(steps).expect("steps are JSON"))
}

/// Returns the last line of a text that holds a script.
pub(crate) fn find(text: &str) -> Option<&str> {
    text.lines().rev().find_map(|line| line.trim().strip_prefix(MARK))
}

/// Reads a script; one that cannot be read says so.
pub(crate) fn read(line: &str) -> Vec<Step> {
    serde_json::from_str(line).unwrap_or_else(|error| vec![Step::say(&format!("no script: {error}"))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_as_it_was_written() {
        let steps = vec![
            Step::run("echo 1").at("gate"),
            serde_json::from_str(r#"{"use": "Write", "input": {"file_path": "a"}}"#).unwrap(),
            serde_json::from_str(r#"{"refuse": 429, "headers": {"retry-after": "60"}, "until": "later"}"#)
                .unwrap(),
            serde_json::from_str(r#"{"break": "overloaded_error"}"#).unwrap(),
            Step::say("done"),
        ];
        let prompt = format!("Do it.\n{}\n", script_line(&steps));
        assert_eq!(read(find(&prompt).unwrap()), steps);
        assert!(matches!(steps[2].what, Do::Refuse(_)) && matches!(steps[3].what, Do::Break(_)));
    }

    #[test]
    fn the_last_script_of_a_prompt_counts() {
        assert_eq!(find("SCRIPT: [1]\n  SCRIPT: [2]\nSCRIPT\n"), Some("[2]"));
        assert_eq!(find("no SCRIPT: here"), None);
        assert!(matches!(&read("nonsense")[0].what, Do::Say { say } if say.starts_with("no script")));
    }
}
