//! The agent's conversation beside its checkpoints.
//!
//! It is read before the tree: what the agent does in between is in the tree and not in what it remembers, so it finds more
//! than it knows of, never less. It is stored behind the checkpoint, with its number.

use std::time::Duration;

use makima_shared::domain::SavedConversation;
use makima_shared::store::Fenced;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::Taken;
use crate::agent;
use crate::attempt::Attempt;
use crate::workspace::Workspace;

/// How long reading it may take.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// What of a conversation is stored.
#[derive(Default)]
pub(super) struct ConversationKept {
    /// The checkpoint that it went with; 0 before the first.
    number: i32,
    sha256: Vec<u8>,
}

impl ConversationKept {
    /// Starts behind the checkpoint that was restored.
    pub(super) fn behind(number: Option<i32>) -> Self {
        Self { number: number.unwrap_or_default(), sha256: Vec::new() }
    }

    /// Reads the conversation as it is now; none if the agent has none.
    pub(super) async fn read(attempt: &Attempt<'_>, workspace: &Workspace) -> Option<SavedConversation> {
        let client = attempt.task.agent.client()?;
        let (adapter, home) = (agent::adapter(&attempt.task.agent), workspace.home());
        let secrets = workspace.secrets().clone();
        let reading = move || agent::conversation::read(adapter, client, &home, &secrets);
        let reading = tokio::task::spawn_blocking(reading);
        timeout(READ_LIMIT, reading).await.ok()?.ok()?
    }

    /// Stores it with the newest checkpoint, unless it is stored already or the checkpoint is not.
    pub(super) async fn store(
        &mut self,
        attempt: &Attempt<'_>,
        read: Option<SavedConversation>,
        taken: &Taken,
    ) -> Fenced<()> {
        let Taken::Saved(number) = taken else { return Fenced::Accepted(()) };
        self.number = number.unwrap_or(self.number);
        let Some(read) = read.filter(|read| read.sha256 != self.sha256) else { return Fenced::Accepted(()) };
        let context = attempt.context();
        let (key, keep) = (attempt.key(), context.config.worker.keep_patches);
        let saving = || context.store.conversation_save(key, self.number, &read, keep);
        match attempt.insist(saving).await {
            Ok(Fenced::Accepted(())) => {
                debug!(checkpoint = self.number, bytes = read.content_gzip.len(), "conversation");
                self.sha256 = read.sha256;
                Fenced::Accepted(())
            }
            Ok(Fenced::Stale) => Fenced::Stale,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "the agent's conversation is not stored");
                Fenced::Accepted(())
            }
        }
    }
}
