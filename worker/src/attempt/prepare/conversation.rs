//! The conversation that the agent goes on with: what lies in a workspace that was taken up, or what was saved with the
//! checkpoint that was restored. Without one the agent begins anew on the files as they are.

use makima_shared::store::Fenced;
use tracing::{info, warn};

use super::super::threads::Threads;
use super::super::{Attempt, End};
use super::{Prepared, accepted, chain, notify};
use crate::agent::{self, Resumable, conversation};

/// Brings the conversation to its place.
pub(super) async fn run(
    attempt: &Attempt<'_>,
    threads: &Threads,
    prepared: &Prepared,
) -> Result<Option<Resumable>, End> {
    let task = attempt.task;
    let Some(client) = task.agent.client().filter(|_| !task.completion_only) else { return Ok(None) };
    let adapter = agent::adapter(&task.agent);
    let (home, tree) = (prepared.workspace.home(), prepared.workspace.tree());
    let there = {
        let (home, tree) = (home.clone(), tree.clone());
        threads.run(move || conversation::take_up(adapter, &home, &tree)).await?
    };
    if let Ok(Some(there)) = there {
        info!("goes on with the conversation in its home");
        return Ok(Some(there));
    }
    let (store, number) = (&attempt.context().store, prepared.resumed_from.unwrap_or_default());
    let asking = attempt.insist(|| async {
        Ok(Fenced::Accepted(store.conversation_of_checkpoint(task.id, number, client).await?))
    });
    let Some(saved) = accepted(asking.await)? else {
        if prepared.resumed_from.is_some() {
            let message =
                "the files are restored, and no conversation was saved with them: the agent begins a new one";
            notify(attempt, "CONVERSATION_NOT_RESTORED", message.to_owned()).await?;
        }
        return Ok(None);
    };
    match threads.run(move || conversation::restore(adapter, &saved, &home, &tree)).await? {
        Ok(resumed) => {
            info!(checkpoint = number, "goes on with its conversation");
            Ok(resumed)
        }
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "the conversation is not restored");
            let message = format!(
                "the agent begins a new conversation, the saved one cannot be used: {}",
                chain(&error)
            );
            notify(attempt, "CONVERSATION_NOT_RESTORED", message).await?;
            Ok(None)
        }
    }
}
