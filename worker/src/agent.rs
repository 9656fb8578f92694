//! Agents: how each kind is started and resumed, what its lines mean, how it is asked to end. One file each.
//!
//! An [`Adapter`] knows one client and keeps nothing; what an attempt learns of its agent's lines is kept in [`Heard`].
//! Another kind is a file here, a line in [`adapter`] and a variant of the domain's [`Agent`]: see docs/AGENTS.md.

mod claude;
mod clients;
mod codex;
mod command;
pub(crate) mod conversation;
mod heard;
mod launch;
mod limit;
mod verdict;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use makima_shared::domain::{Agent, AgentEvent, ClaimedTask, TokenUsage};
use serde_json::Value;

pub(crate) use clients::Clients;
pub(crate) use conversation::Resumable;
pub(crate) use heard::{Heard, Hearing};
pub(crate) use launch::{Launching, prepare};
pub(crate) use limit::{Limit, LimitKind};
pub(crate) use verdict::{Verdict, judge};

use crate::process::Signal;

/// Names the workspace to the agent, and the agent's processes to a worker that clears up.
pub(crate) const WORKSPACE_VARIABLE: &str = "MAKIMA_WORKSPACE";

/// What an adapter is told to start its agent with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) task: &'a ClaimedTask,
    /// The client's program; nothing for a command, which names its own.
    pub(crate) program: &'a Path,
    /// The agent's own home, of this attempt alone.
    pub(crate) home: &'a Path,
    /// The conversation to go on with.
    pub(crate) session: Option<&'a str>,
    /// A sandbox is in force, so that the client's own questions can be left out.
    pub(crate) sandboxed: bool,
    /// The agent runs as root.
    pub(crate) is_root: bool,
    /// What may still be spent, in US dollars.
    pub(crate) budget_usd: Option<f64>,
}

/// How an agent is started.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) argv: Vec<OsString>,
    /// What the client needs in its environment, whatever the task says.
    pub(crate) env: BTreeMap<String, String>,
    /// All that it reads on its standard input.
    pub(crate) stdin: String,
}

/// Where a client keeps its conversations: below the agent's home, found by what it is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConversationPlace {
    /// The directory in the home.
    pub(crate) directory: &'static str,
    /// How deep the files lie in there; 1 is right in it.
    pub(crate) depth: usize,
    /// Reads the conversation's name out of its file's.
    pub(crate) session_of: fn(file_name: &str) -> Option<&str>,
    /// Says where the file belongs for another workspace, from where it was.
    pub(crate) path_for: fn(path: &str, tree: &Path) -> String,
}

/// One kind of agent.
pub(crate) trait Adapter: Send + Sync {
    /// Says how to start it anew.
    fn start(&self, ask: &Ask<'_>) -> Launch;

    /// Says how to let it go on with a conversation that lies in its place.
    fn resume(&self, ask: &Ask<'_>, session: &str) -> Launch;

    /// Reads a line of its standard output, into events and into what is known of the attempt; none for a line that it does
    /// not know.
    fn read(&self, line: &Value, heard: &mut Heard) -> Option<Vec<AgentEvent>>;

    /// Puts a message into a form that the running agent takes on its standard input; none if it cannot take any.
    #[allow(dead_code, reason = "nobody can talk to a running agent yet")]
    fn say(&self, text: &str) -> Option<String>;

    /// Returns the signal that asks it to end.
    fn stop_signal(&self) -> Signal;

    /// Says where its conversation lies; none if it has none.
    fn conversation(&self) -> Option<ConversationPlace>;

    /// Finds what a saved conversation has used, where the client counts on from there.
    fn used_in(&self, _conversation: &[u8]) -> TokenUsage {
        TokenUsage::default()
    }

    /// Names the variables of the worker's environment that it gets beside those that all agents get.
    fn passes(&self) -> &'static [&'static str];

    /// Its lines are read; a good end is one that a line tells of.
    fn tells_its_end(&self) -> bool;
}

/// Returns the adapter of an agent.
pub(crate) fn adapter(agent: &Agent) -> &'static dyn Adapter {
    match agent {
        Agent::Command { .. } => &command::Command,
        Agent::Claude { .. } => &claude::Claude,
        Agent::Codex { .. } => &codex::Codex,
    }
}

/// What a client is told that goes on after its process ended midway.
const GO_ON: &str = "You were interrupted in your work on the task below. The files are as you left them, or as they were \
                     saved shortly before. Look where you stand and go on until the task is done.\n\n";
