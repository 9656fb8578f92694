//! The rounds of an attempt: the agent is started again in the same workspace, with its own conversation, as long as
//! there is cause. Messages that it has not taken up are one, and a task in loop mode that is not finished is another.

use makima_shared::domain::EventKind;
use serde_json::json;
use tracing::{info, warn};

use super::completion_gate::{Judgment, Loop};
use super::prepare::{Prepared, accepted, chain};
use super::run_agent::{self, Outcome, Rounds};
use super::threads::Threads;
use super::{Attempt, End};
use crate::agent::{self, Verdict, conversation};
use crate::process::AgentEnd;

/// How many rounds for messages alone an attempt may have.
const MAX_MESSAGE_ROUNDS: u32 = 200;

/// Runs the agent to the end of its last round. `Err` if something else than the agent decides the attempt.
pub(super) async fn run(attempt: &Attempt<'_>, prepared: &Prepared) -> Result<Outcome, End> {
    let mut looping = Loop::open(attempt, prepared.restored_tree.clone()).await?;
    let mut rounds = Rounds::open(attempt, prepared).await?;
    let mut left = MAX_MESSAGE_ROUNDS;
    loop {
        rounds.loop_round = looping.as_ref().map(|looping| looping.round);
        let outcome = Box::pin(run_agent::run(&mut rounds)).await?;
        let verdict = agent::judge(agent::adapter(&attempt.task.agent), &outcome.heard, &outcome.agent_end);
        let judged = match (verdict, &mut looping) {
            (Ok(()), looping) => {
                rounds.mailbox.settle(prepared).await?;
                match looping {
                    Some(looping) => Box::pin(looping.judge(&mut rounds, &outcome)).await?,
                    None => Judgment::Ready,
                }
            }
            (Err(Verdict::Failed(failure)), Some(looping)) if has_exited(&outcome) => {
                rounds.mailbox.settle(prepared).await?;
                looping.judge_failed(&rounds, &outcome, &failure).await?
            }
            (Err(_), _) => return Ok(outcome),
        };
        let prompt = match judged {
            Judgment::Again(prompt) => prompt,
            Judgment::Ready if rounds.mailbox.is_empty() => return Ok(outcome),
            Judgment::Ready if left == 0 => {
                let message =
                    "messages are left that the agent was not given: it has had too many rounds for them";
                notify(attempt, "MESSAGES_LEFT", message).await?;
                return Ok(outcome);
            }
            Judgment::Ready => {
                left -= 1;
                let message = "the agent ended, and goes on for messages that it has not taken up";
                notify(attempt, "MESSAGE_ROUND", message).await?;
                String::new()
            }
        };
        if attempt.life.drain.is_cancelled() {
            return Err(End::HandedBack);
        }
        info!(round = rounds.begun + 1, "the agent is started again");
        rounds.prompt = Some(prompt);
        rounds.session = take_up(attempt, prepared).await?;
    }
}

/// Tells whether the agent ended by itself, well or not.
fn has_exited(outcome: &Outcome) -> bool {
    matches!(outcome.agent_end, AgentEnd::Exited { .. })
}

/// Returns the conversation that the agent has left; none if it has none.
async fn take_up(attempt: &Attempt<'_>, prepared: &Prepared) -> Result<Option<agent::Resumable>, End> {
    let adapter = agent::adapter(&attempt.task.agent);
    let (home, tree) = (prepared.workspace.home(), prepared.workspace.tree());
    let threads = Threads::default();
    let taking_up = threads.run(move || conversation::take_up(adapter, &home, &tree));
    let interrupted = async {
        attempt.revoked().await;
        End::Over
    };
    Ok(threads.guard(taking_up, interrupted).await?.unwrap_or_else(|error| {
        warn!(error = chain(&error), "the agent's conversation cannot be gone on with");
        None
    }))
}

async fn notify(attempt: &Attempt<'_>, code: &'static str, message: &str) -> Result<(), End> {
    let notices = [json!({ "code": code, "message": message })];
    let (store, task) = (&attempt.context().store, attempt.task);
    let append = || store.events_append(task.id, task.epoch, EventKind::Notice, &notices);
    accepted(attempt.insist(append).await).map(drop)
}
