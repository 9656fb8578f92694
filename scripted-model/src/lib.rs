//! A model for tests and the bench: it stands in for the vendors on loopback and says what a script tells it to say.
//!
//! The script of a conversation travels in its prompt, as a line `SCRIPT: [step, ..]` (see [`script`]), so that one server
//! serves any number of agents at once, and an agent that another worker resumes goes on where its conversation stands.
//! Steps may wait at a gate: a test learns when an agent has come to one, and opens it ([`ScriptedModel::arrived`],
//! [`ScriptedModel::open`]). Every request is kept, for a test to look into.
//!
//! It speaks Anthropic's Messages and `OpenAI`'s Responses, as far as Claude Code and Codex were seen to ask.
//!
//! Left out on purpose: anything that a model would make up.

mod conversation;
mod gates;
mod messages;
mod request;
mod responses;
mod script;
mod server;
mod stream;

pub use request::Request;
pub use script::{Broken, Do, Refusal, Step, Usage, script_line};
pub use server::ScriptedModel;
