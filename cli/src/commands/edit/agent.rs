//! What `makima edit` changes about the agent of a task.

use clap::Args;
use makima_shared::domain::{Agent, LoopMode};

use crate::commands::run::{ClientName, shell_line};
use crate::failure::UsageError;
use crate::settings::OrNone;

/// What to change about the agent. Another kind of agent begins with nothing of the one before but its loop.
#[derive(Args, Debug)]
pub(super) struct AgentChanges {
    /// The agent, as a line for sh
    #[arg(long, value_name = "SHELL_LINE", conflicts_with_all = ["agent", "model", "agent_arg"])]
    agent_cmd: Option<String>,

    /// The agent, as a program and its arguments: repeat it for each of them
    #[arg(
        long,
        value_name = "ARG",
        allow_hyphen_values = true,
        conflicts_with_all = ["agent_cmd", "agent", "model", "agent_arg"]
    )]
    agent_argv: Vec<String>,

    /// The agent, as a client that drives a model, with no model and no arguments but those named here: claude or codex
    #[arg(long, value_name = "CLIENT")]
    agent: Option<ClientName>,

    /// The model that the client shall use
    #[arg(long)]
    model: Option<OrNone<String>>,

    /// An option or value for the client; all that are named take the place of those that were. May be repeated
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    agent_arg: Vec<String>,

    /// Run the agent again and again, up to so many rounds (default: 20), until the task is finished
    #[arg(long = "loop", value_name = "ROUNDS", num_args = 0..=1, require_equals = true, default_missing_value = "20")]
    rounds: Option<OrNone<u32>>,

    /// In loop mode: the task is finished once this line for sh exits with 0 after a round, whatever the agent says
    #[arg(long, value_name = "SHELL_LINE")]
    verify: Option<OrNone<String>>,
}

impl AgentChanges {
    /// Tells whether nothing of the agent is named.
    pub(super) fn is_nothing(&self) -> bool {
        let Self { agent_cmd, agent_argv, agent, model, agent_arg, rounds, verify } = self;
        let words = agent_cmd.is_none() && agent_argv.is_empty() && agent.is_none();
        words && model.is_none() && agent_arg.is_empty() && rounds.is_none() && verify.is_none()
    }

    /// Returns the agent as it shall be, from the one that it is.
    pub(super) fn apply(self, now: Agent) -> Result<Agent, UsageError> {
        let looping = looping(now.loop_mode(), self.rounds, self.verify)?;
        let now = match (self.agent_cmd, self.agent) {
            (Some(line), _) => Agent::command(shell_line(line)),
            (None, Some(client)) => client.agent(None, Vec::new(), None),
            (None, None) if !self.agent_argv.is_empty() => Agent::command(self.agent_argv),
            (None, None) => now,
        };
        let named = |args: Vec<String>| if self.agent_arg.is_empty() { args } else { self.agent_arg.clone() };
        let wanted = |model| self.model.clone().map_or(model, |wanted| wanted.0);
        match now {
            Agent::Command { .. } if self.model.is_some() || !self.agent_arg.is_empty() => {
                Err(UsageError("the agent is a command, which has no model and no --agent-arg".to_owned()))
            }
            Agent::Command { argv, .. } => Ok(Agent::Command { argv, looping }),
            Agent::Claude { model, args, .. } => {
                Ok(Agent::Claude { model: wanted(model), args: named(args), looping })
            }
            Agent::Codex { model, args, .. } => {
                Ok(Agent::Codex { model: wanted(model), args: named(args), looping })
            }
        }
    }
}

fn looping(
    now: Option<&LoopMode>,
    rounds: Option<OrNone<u32>>,
    verify: Option<OrNone<String>>,
) -> Result<Option<LoopMode>, UsageError> {
    let mode = match rounds {
        None => now.cloned(),
        Some(OrNone(None)) => None,
        Some(OrNone(Some(max_rounds))) => {
            Some(LoopMode { max_rounds, verify: now.map(|mode| mode.verify.clone()).unwrap_or_default() })
        }
    };
    let Some(OrNone(line)) = verify else { return Ok(mode) };
    let verify = line.map(shell_line).unwrap_or_default();
    let mode = mode.ok_or_else(|| UsageError("--verify is for loop mode: add --loop".to_owned()))?;
    Ok(Some(LoopMode { verify, ..mode }))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        agent: AgentChanges,
    }

    fn edited(now: serde_json::Value, line: &str) -> Result<serde_json::Value, String> {
        let words = std::iter::once("edit").chain(line.split_whitespace());
        let changes = Line::try_parse_from(words).map_err(|error| error.to_string())?.agent;
        let agent = changes.apply(serde_json::from_value(now).unwrap()).map_err(|error| error.to_string())?;
        Ok(serde_json::to_value(agent).unwrap())
    }

    #[test]
    fn what_is_not_named_of_an_agent_stays() {
        let claude = json!({"kind": "claude", "model": "opus", "args": ["--max-turns", "5"]});
        let sonnet = json!({"kind": "claude", "model": "sonnet", "args": ["--max-turns", "5"]});
        assert_eq!(edited(claude.clone(), "--model sonnet").unwrap(), sonnet);
        let looping = json!({"kind": "claude", "args": ["--x"], "loop": {"maxRounds": 7}});
        assert_eq!(edited(claude.clone(), "--model none --agent-arg --x --loop=7").unwrap(), looping);
        let codex = json!({"kind": "codex", "model": "gpt-5"});
        assert_eq!(edited(claude.clone(), "--agent codex --model gpt-5").unwrap(), codex);
        assert_eq!(edited(looping, "--agent claude --loop=none").unwrap(), json!({"kind": "claude"}));
    }

    #[test]
    fn a_loop_outlives_another_agent_and_what_does_not_fit_is_refused() {
        let now = json!({"kind": "command", "argv": ["a"], "loop": {"maxRounds": 3, "verify": ["true"]}});
        let codex = json!({"kind": "codex", "loop": {"maxRounds": 3, "verify": ["sh", "-c", "make"]}});
        assert_eq!(edited(now.clone(), "--agent codex --verify make").unwrap(), codex);
        assert!(edited(now.clone(), "--model opus").is_err());
        assert!(edited(now.clone(), "--agent-cmd x --model opus").is_err());
        assert!(edited(now, "--loop=none --verify x").is_err());
    }
}
