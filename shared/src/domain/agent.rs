//! Which agent a task asks for.

use serde::{Deserialize, Serialize};

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
    },
}

impl Agent {
    /// The most bytes that all arguments may have together.
    const MAX_ARGV_BYTES: usize = 64 * 1024;
    const MAX_ARGS: usize = 256;

    /// Names what is wrong with the agent, if anything is.
    pub(super) fn validate(&self, errors: &mut Vec<FieldError>) {
        match self {
            Self::Command { argv } => {
                let problem = if argv.is_empty() || argv[0].is_empty() {
                    "needs a program as its first entry"
                } else if argv.len() > Self::MAX_ARGS {
                    "has more than 256 entries"
                } else if argv.iter().map(String::len).sum::<usize>() > Self::MAX_ARGV_BYTES {
                    "is longer than 64 KiB"
                } else if argv.iter().any(|arg| arg.contains('\0')) {
                    "holds a NUL byte"
                } else {
                    return;
                };
                errors.push(FieldError::new("agent.argv", problem));
            }
        }
    }
}
