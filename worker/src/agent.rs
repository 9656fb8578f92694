//! Agents: how each kind is started and resumed, what its lines mean, how it is asked to end. One file each.
//!
//! An [`Adapter`] knows one client and keeps nothing; what an attempt learns of its agent's lines is kept in [`Heard`].
//! Another kind is a file here, a line in [`adapter`] and a variant of the domain's [`Agent`]: see docs/AGENTS.md.

mod claude;
mod clients;
mod codex;
mod command;
pub(crate) mod conversation;
mod gate;
mod heard;
mod launch;
mod limit;
mod line;
#[cfg(test)]
mod recorded;
mod verdict;

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::path::Path;

use makima_shared::domain::{Agent, AgentEvent, ClaimedTask, MessageId, TokenUsage};
use serde_json::Value;

pub(crate) use clients::Clients;
pub(crate) use conversation::Resumable;
pub(crate) use gate::Gate;
pub(crate) use heard::{Heard, Hearing, TakenUp, Turn};
pub(crate) use launch::{Launching, prepare, prepare_verify};
pub(crate) use limit::{Limit, LimitKind};
pub(crate) use line::Line;
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
    /// What it is told in a further round of the same attempt; none in the first one.
    pub(crate) prompt: Option<&'a str>,
    /// The number of the round, where the agent is run again until the task is finished.
    pub(crate) round: Option<u32>,
    /// Messages to it, as [`Adapter::say`] puts them, for a client that does not listen while it runs.
    pub(crate) messages: &'a str,
    /// A sandbox is in force, so that the client's own questions can be left out.
    pub(crate) sandboxed: bool,
    /// The agent runs as root.
    pub(crate) is_root: bool,
    /// What may still be spent, in US dollars.
    pub(crate) budget_usd: Option<f64>,
}

impl Ask<'_> {
    /// Returns what an agent is told that begins anew.
    fn beginning(&self) -> String {
        let prompt = self.prompt.filter(|prompt| !prompt.is_empty());
        let prompt = prompt.map(|prompt| format!("\n\n{prompt}")).unwrap_or_default();
        format!("{}{prompt}{}", self.plan(), self.messages)
    }

    /// Returns the plan, with how to say that it is carried out where that is asked for.
    fn plan(&self) -> String {
        let asks = self.task.agent.loop_mode().is_some_and(|mode| mode.verify.is_empty());
        format!("{}{}", self.task.plan, if asks { gate::WORDS } else { "" })
    }

    /// Returns what an agent is told that goes on with its conversation; nothing if it gets messages alone.
    fn continuation(&self) -> String {
        let words = match self.prompt {
            Some(prompt) => prompt.to_owned(),
            None => format!("{GO_ON}{}", self.plan()),
        };
        format!("{words}{}", self.messages).trim_start().to_owned()
    }
}

/// How an agent is started.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) argv: Vec<OsString>,
    /// What the client needs in its environment, whatever the task says.
    pub(crate) env: BTreeMap<String, String>,
    /// What it reads on its standard input: all of it, or what comes first if it listens.
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
    /// What the client keeps of where its conversations lie, and makes anew where it is not there.
    pub(crate) index: Option<ConversationIndex>,
}

/// Files that say where conversations lie, with the whole path: in a home that has moved they lead nowhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConversationIndex {
    /// The directory in the home that they are right in.
    pub(crate) directory: &'static str,
    /// Knows them by their names.
    pub(crate) is_one: fn(file_name: &str) -> bool,
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

    /// Puts a message into the form that the agent takes, on its standard input if it listens while it runs, else as a
    /// part of what it is told when it starts; none if it takes none.
    fn say(&self, id: MessageId, text: &str) -> Option<String>;

    /// It takes messages on its standard input while it runs, and ends once that has ended.
    fn listens(&self) -> bool {
        false
    }

    /// Names the messages that a conversation has, and whatever else looks like one.
    fn messages_in(&self, _conversation: &[u8]) -> HashSet<MessageId> {
        HashSet::new()
    }

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

/// Reads the names that stand right behind a mark.
fn ids_behind(mark: &[u8], content: &[u8]) -> HashSet<MessageId> {
    const ID_BYTES: usize = 36;
    let mut found = HashSet::new();
    let mut rest = content;
    while let Some(at) = rest.windows(mark.len()).position(|window| window == mark) {
        rest = &rest[at + mark.len()..];
        let id = rest.get(..ID_BYTES).and_then(|id| str::from_utf8(id).ok());
        found.extend(id.and_then(|id| id.parse::<MessageId>().ok()));
    }
    found
}

/// What a client is told that goes on after its process ended midway.
const GO_ON: &str = "You were interrupted in your work on the task below. The files are as you left them, or as they were \
                     saved shortly before. Look where you stand and go on until the task is done.\n\n";
