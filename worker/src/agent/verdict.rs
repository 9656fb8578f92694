//! Tells a good end of an agent from a bad one: by what its last line said and how its process ended, together.

use makima_shared::domain::{AttemptOutcome, Failure};

use super::heard::cut;
use super::{Adapter, Heard, Limit};
use crate::process::AgentEnd;

/// How an agent's work ended that did not end well.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It failed.
    Failed(Failure),
    /// It could not ask its model; nothing is said against the task.
    Limited(Limit),
    /// Its budget is spent.
    OverBudget,
}

/// Judges the end of an agent that was started and not told to end.
pub(crate) fn judge(adapter: &dyn Adapter, heard: &Heard, end: &AgentEnd) -> Result<(), Verdict> {
    let failed =
        |code, message: String| Verdict::Failed(Failure::new(AttemptOutcome::AgentFailed, code, message));
    let (is_clean, exit_code, how) = match end {
        AgentEnd::Exited { code, .. } => (*code == 0, Some(*code), format!("with exit code {code}")),
        AgentEnd::Signaled { signal, .. } => (false, None, format!("by signal {signal}")),
        AgentEnd::NotStarted { error } => return Err(failed(AgentEnd::NOT_STARTABLE, error.clone())),
        AgentEnd::Lost { detail } => return Err(failed(AgentEnd::LOST, detail.clone())),
    };
    if !adapter.tells_its_end() {
        return by_exit(end, exit_code);
    }
    let said = heard.turn_end.as_ref();
    if is_clean && said.is_some_and(|said| !said.is_error) {
        return Ok(());
    }
    if heard.over_budget {
        return Err(Verdict::OverBudget);
    }
    let is_bad_turn = said.is_none_or(|said| said.is_error);
    if let Some(limit) = heard.limit.clone().filter(|_| is_bad_turn) {
        return Err(Verdict::Limited(limit));
    }
    let words =
        said.filter(|said| said.is_error).map(|said| said.text.clone()).or_else(|| heard.complaint.clone());
    let words = words.filter(|words| !words.trim().is_empty());
    let words = words.map(|words| format!(": {}", cut(words.trim(), 1024))).unwrap_or_default();
    let (code, message) = match (said, is_clean) {
        (Some(said), _) if said.is_error => ("AGENT_ERROR", format!("the agent ended with an error{words}")),
        (None, true) => ("AGENT_NO_RESULT", format!("the agent ended without a result{words}")),
        (_, _) if exit_code.is_none() => ("AGENT_KILLED", format!("the agent was ended {how}{words}")),
        (_, _) => ("AGENT_FAILED", format!("the agent ended {how}{words}")),
    };
    let failure = Failure::new(AttemptOutcome::AgentFailed, code, message);
    Err(Verdict::Failed(Failure { exit_code, ..failure }))
}

fn by_exit(end: &AgentEnd, exit_code: Option<i32>) -> Result<(), Verdict> {
    let failure = |code, message| Failure::new(AttemptOutcome::AgentFailed, code, message);
    match end {
        AgentEnd::Exited { code: 0, .. } => Ok(()),
        AgentEnd::Signaled { signal, .. } => {
            Err(Verdict::Failed(failure("AGENT_KILLED", format!("the agent was ended by signal {signal}"))))
        }
        AgentEnd::Exited { .. } | AgentEnd::NotStarted { .. } | AgentEnd::Lost { .. } => {
            let code = exit_code.unwrap_or_default();
            let failure = failure("AGENT_FAILED", format!("the agent ended with exit code {code}"));
            Err(Verdict::Failed(Failure { exit_code, ..failure }))
        }
    }
}
