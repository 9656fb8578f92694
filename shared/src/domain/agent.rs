//! Which agent a task asks for.

use serde::{Deserialize, Serialize};

use super::LoopMode;
use super::submission::FieldError;

/// The agent that carries a task out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "camelCase", deny_unknown_fields)]
pub enum Agent {
    /// Any program. It gets the plan on its standard input and in `MAKIMA_PLAN`, and runs in the workspace.
    Command {
        /// The program and its arguments; no shell comes between.
        #[schema(min_items = 1, max_items = 256, example = json!(["sh", "-c", "make test"]))]
        argv: Vec<String>,
        /// Run it again until the task is finished.
        #[serde(default, rename = "loop", skip_serializing_if = "Option::is_none")]
        looping: Option<LoopMode>,
    },
    /// Claude Code. Such a task asks for the label `agent:claude`, which workers offer that have the client.
    Claude {
        /// The model, as its `--model` takes it; the client's own choice if none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(max_length = 200)]
        model: Option<String>,
        /// More options of the client, written out. Those by which makima drives it are refused.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schema(max_items = 64, example = json!(["--append-system-prompt", "Answer in French."]))]
        args: Vec<String>,
        /// Run it again until the task is finished.
        #[serde(default, rename = "loop", skip_serializing_if = "Option::is_none")]
        looping: Option<LoopMode>,
    },
    /// Codex. Such a task asks for the label `agent:codex`, which workers offer that have the client.
    Codex {
        /// The model, as its `--model` takes it; the client's own choice if none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(max_length = 200)]
        model: Option<String>,
        /// More options of `codex exec`, written out or as `-c`. Those by which makima drives it are refused.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schema(max_items = 64, example = json!(["-c", "model_reasoning_effort=\"high\""]))]
        args: Vec<String>,
        /// Run it again until the task is finished.
        #[serde(default, rename = "loop", skip_serializing_if = "Option::is_none")]
        looping: Option<LoopMode>,
    },
}

/// What an agent tells of what it spends, so that a cap on it has an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpendTold {
    /// Nothing.
    Nothing,
    /// Its tokens.
    Tokens,
    /// Its tokens, and what they cost in US dollars.
    TokensAndCost,
}

/// A client that a worker may have or lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AgentClient {
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
}

impl AgentClient {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Claude, Self::Codex];

    /// Returns the word for it in JSON, settings and messages, which is also its program's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
        }
    }

    /// Returns the client of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|client| client.as_str() == name)
    }

    /// Returns what a worker offers that has it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Claude => "agent:claude",
            Self::Codex => "agent:codex",
        }
    }

    /// The options that are the adapter's own affair.
    fn own_options(self) -> &'static [&'static str] {
        match self {
            Self::Claude => &[
                "--print",
                "--verbose",
                "--output-format",
                "--input-format",
                "--include-partial-messages",
                "--replay-user-messages",
                "--resume",
                "--continue",
                "--fork-session",
                "--session-id",
                "--no-session-persistence",
                "--model",
                "--max-budget-usd",
                "--dangerously-skip-permissions",
                "--allow-dangerously-skip-permissions",
                "--help",
                "--version",
                "--background",
                "--worktree",
            ],
            Self::Codex => &[
                "--json",
                "--experimental-json",
                "--last",
                "--all",
                "--model",
                "--cd",
                "--ephemeral",
                "--output-last-message",
                "--sandbox",
                "--full-auto",
                "--yolo",
                "--dangerously-bypass-approvals-and-sandbox",
                "--help",
                "--version",
            ],
        }
    }

    /// The short options that may stand for themselves.
    fn short_options(self) -> &'static [&'static str] {
        match self {
            Self::Claude => &[],
            Self::Codex => &["-c"],
        }
    }

    /// Says what is wrong with an argument.
    fn refuses(self, arg: &str) -> Option<String> {
        let name = arg.split_once('=').map_or(arg, |(name, _value)| name);
        if arg == "--" {
            Some("must not hold --".to_owned())
        } else if self.own_options().contains(&name) {
            Some(format!("must not hold {name}, which is makima's own affair"))
        } else if arg.starts_with('-') && !arg.starts_with("--") && !self.short_options().contains(&arg) {
            let shown: String = arg.chars().filter(|c| c.is_ascii_graphic()).take(16).collect();
            Some(format!("must have its options written out, unlike {shown}"))
        } else {
            None
        }
    }
}

impl Agent {
    /// The most bytes that all arguments may have together.
    const MAX_ARGV_BYTES: usize = 64 * 1024;
    const MAX_ARGS: usize = 256;
    /// The most arguments of a client, and their bytes together.
    const MAX_CLIENT_ARGS: usize = 64;
    const MAX_CLIENT_BYTES: usize = 16 * 1024;
    const MAX_MODEL_CHARS: usize = 200;

    /// Returns any program as an agent, to be run once.
    #[must_use]
    pub fn command(argv: Vec<String>) -> Self {
        Self::Command { argv, looping: None }
    }

    /// Says how it is run again until the task is finished; none if it is run once.
    #[must_use]
    pub fn loop_mode(&self) -> Option<&LoopMode> {
        match self {
            Self::Command { looping, .. } | Self::Claude { looping, .. } | Self::Codex { looping, .. } => {
                looping.as_ref()
            }
        }
    }

    /// Returns the client that it needs; none for a command, which names its own program.
    #[must_use]
    pub fn client(&self) -> Option<AgentClient> {
        match self {
            Self::Command { .. } => None,
            Self::Claude { .. } => Some(AgentClient::Claude),
            Self::Codex { .. } => Some(AgentClient::Codex),
        }
    }

    /// Tells what is heard of it about what it spends.
    #[must_use]
    pub fn tells_spend(&self) -> SpendTold {
        match self {
            Self::Command { .. } => SpendTold::Nothing,
            Self::Claude { .. } => SpendTold::TokensAndCost,
            Self::Codex { .. } => SpendTold::Tokens,
        }
    }

    /// Names what is wrong with the agent, if anything is.
    pub(super) fn validate(&self, errors: &mut Vec<FieldError>) {
        match self {
            Self::Command { argv, .. } => {
                let problem = problem_of_command(argv);
                errors.extend(problem.map(|problem| FieldError::new("agent.argv", problem)));
            }
            Self::Claude { model, args, .. } => validate_client(AgentClient::Claude, model, args, errors),
            Self::Codex { model, args, .. } => validate_client(AgentClient::Codex, model, args, errors),
        }
        errors.extend(self.loop_mode().and_then(LoopMode::problem));
    }
}

/// Says what is wrong with a program and its arguments, if anything is.
pub(super) fn problem_of_command(argv: &[String]) -> Option<&'static str> {
    if argv.first().is_none_or(String::is_empty) {
        Some("needs a program as its first entry")
    } else if argv.len() > Agent::MAX_ARGS {
        Some("has more than 256 entries")
    } else if argv.iter().map(String::len).sum::<usize>() > Agent::MAX_ARGV_BYTES {
        Some("is longer than 64 KiB")
    } else if argv.iter().any(|arg| arg.contains('\0')) {
        Some("holds a NUL byte")
    } else {
        None
    }
}

fn validate_client(
    client: AgentClient,
    model: &Option<String>,
    args: &[String],
    errors: &mut Vec<FieldError>,
) {
    if model.as_deref().is_some_and(|model| !is_model(model)) {
        let problem = "must be up to 200 visible characters without spaces, of which the first is no dash";
        errors.push(FieldError::new("agent.model", problem));
    }
    let problem = if args.len() > Agent::MAX_CLIENT_ARGS {
        Some("has more than 64 entries".to_owned())
    } else if args.iter().map(String::len).sum::<usize>() > Agent::MAX_CLIENT_BYTES {
        Some("is longer than 16 KiB".to_owned())
    } else if args.iter().any(|arg| arg.contains('\0')) {
        Some("holds a NUL byte".to_owned())
    } else if args.first().is_some_and(|arg| !arg.starts_with('-')) {
        Some("must begin with an option".to_owned())
    } else {
        args.iter().find_map(|arg| client.refuses(arg))
    };
    errors.extend(problem.map(|problem| FieldError::new("agent.args", problem)));
}

fn is_model(text: &str) -> bool {
    (1..=Agent::MAX_MODEL_CHARS).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(agent: serde_json::Value) -> Vec<String> {
        let agent: Agent = serde_json::from_value(agent).unwrap();
        let mut errors = Vec::new();
        agent.validate(&mut errors);
        errors.into_iter().map(|error| format!("{} {}", error.field, error.problem)).collect()
    }

    #[test]
    fn clients_take_options_of_their_own() {
        for good in [
            json!({"kind": "claude"}),
            json!({"kind": "claude", "model": "claude-opus-4-5[1m]", "args": ["--max-turns", "5"]}),
            json!({"kind": "codex", "model": "gpt-5.1-codex", "args": ["-c", "model_provider=\"x\""]}),
        ] {
            assert!(problems(good.clone()).is_empty(), "{good}");
        }
    }

    #[test]
    fn options_by_which_a_client_is_driven_are_refused() {
        for bad in ["-p", "--print", "--output-format=text", "--resume", "-r", "--session-id=x", "--", "-pc"]
        {
            let found = problems(json!({"kind": "claude", "args": [bad]}));
            assert!(found.len() == 1 && found[0].starts_with("agent.args must"), "{bad}: {found:?}");
        }
        for bad in
            ["--json", "resume", "-m", "--model=x", "-sdanger-full-access", "--sandbox", "-C", "--cd=/"]
        {
            assert_eq!(problems(json!({"kind": "codex", "args": [bad]})).len(), 1, "{bad}");
        }
        let named = problems(json!({"kind": "claude", "args": ["--max-turns", "3", "--resume=x"]}));
        assert_eq!(named, ["agent.args must not hold --resume, which is makima's own affair"]);
    }

    #[test]
    fn what_a_client_is_told_is_bounded() {
        let long = vec!["--x"; 65];
        assert_eq!(
            problems(json!({"kind": "claude", "args": long})),
            ["agent.args has more than 64 entries"]
        );
        assert_eq!(problems(json!({"kind": "claude", "args": ["--x", "y".repeat(17_000)]})).len(), 1);
        for model in ["", "-x", "a b", "a\u{0}", &"x".repeat(201)] {
            assert_eq!(problems(json!({"kind": "codex", "model": model})).len(), 1, "{model:?}");
        }
        assert!(serde_json::from_value::<Agent>(json!({"kind": "claude", "argv": ["x"]})).is_err());
    }
}
