//! The agent that is any command: its plan on stdin, its end told by its exit code.

use std::collections::BTreeMap;
use std::ffi::OsString;

use makima_shared::domain::{Agent, AgentEvent, MessageId};
use serde_json::Value;

use super::{Adapter, Ask, ConversationPlace, Heard, Launch};
use crate::process::Signal;

pub(super) struct Command;

impl Adapter for Command {
    fn start(&self, ask: &Ask<'_>) -> Launch {
        let argv = match &ask.task.agent {
            Agent::Command { argv, .. } => argv.iter().map(OsString::from).collect(),
            Agent::Claude { .. } | Agent::Codex { .. } => Vec::new(),
        };
        Launch { argv, env: BTreeMap::new(), stdin: ask.task.plan.clone() }
    }

    fn resume(&self, ask: &Ask<'_>, _session: &str) -> Launch {
        self.start(ask)
    }

    fn read(&self, _line: &Value, _heard: &mut Heard) -> Option<Vec<AgentEvent>> {
        None
    }

    fn say(&self, _id: MessageId, _text: &str) -> Option<String> {
        None
    }

    /// What programs expect that are asked to end.
    fn stop_signal(&self) -> Signal {
        Signal::SIGTERM
    }

    fn conversation(&self) -> Option<ConversationPlace> {
        None
    }

    fn passes(&self) -> &'static [&'static str] {
        &[]
    }

    fn tells_its_end(&self) -> bool {
        false
    }
}
