//! Starting an agent: with its environment, in the worker's sandbox.

use std::io;
use std::path::Path;

use makima_shared::domain::{Spend, Transition};
use makima_shared::telemetry::names;
use tracing::warn;

use super::super::prepare::{Prepared, accepted, chain, here};
use super::super::{Attempt, End};
use super::Rounds;
use super::spending::Budget;
use crate::agent::{self, Ask, Launching, Line};
use crate::checkpoint_request::Desk;
use crate::process::{AgentCommand, AgentEnd, AgentProcess};
use crate::sandbox::{self, Places, proxy_variables};

/// Opens the desk where the agent asks for checkpoints. An agent can do without.
pub(super) fn open_desk(prepared: &Prepared) -> Option<Desk> {
    Desk::open(prepared.workspace.root())
        .inspect_err(|error| warn!(%error, "the agent cannot ask for checkpoints"))
        .ok()
}

/// Starts the agent for a round; `messages` are what it is told beside its prompt.
pub(super) async fn start(
    rounds: &Rounds<'_>,
    budget: &Budget,
    messages: &str,
) -> Result<(AgentProcess, Option<Line>), End> {
    let Rounds { attempt, prepared, session, prompt, .. } = rounds;
    let (context, task) = (attempt.context(), attempt.task);
    let failed = |message| here(AgentEnd::NOT_STARTABLE, message, attempt);
    let program = match task.agent.client() {
        Some(client) => context
            .clients
            .program(client)
            .ok_or_else(|| failed(format!("this worker does not have {} (any more)", client.as_str())))?,
        None => Path::new(""),
    };
    let launching = Launching {
        workspace: &prepared.workspace,
        desk: rounds.desk.as_ref(),
        executable: &context.executable,
        allowed_env: &context.config.worker.agent_env,
    };
    let home = prepared.workspace.home();
    let ask = Ask {
        task,
        program,
        home: &home,
        session: session.as_ref().map(|resumed| resumed.session.as_str()),
        prompt: prompt.as_deref(),
        messages,
        round: rounds.loop_round,
        sandboxed: context.sandbox.get().is_some_and(|sandbox| *sandbox.level() != sandbox::Level::None),
        is_root: nix::unistd::geteuid().is_root(),
        budget_usd: budget.left_usd(),
    };
    let (command, line) = agent::prepare(&launching, &ask).map_err(|error| failed(error.to_string()))?;
    if rounds.begun == 1 {
        // The move comes first: once it is taken, nobody else has the task, and the agent may start.
        accepted(attempt.transition(Transition::started(task.epoch)).await)?;
        metrics::histogram!(names::PREPARE_SECONDS).record(attempt.begun.elapsed());
    }
    if let Some(words) = budget.reached(&Spend::default()) {
        return Err(End::OverBudget(words));
    }
    Ok((start_process(attempt, prepared, rounds.desk.as_ref(), command).await?, line))
}

/// Starts whatever is run for the task, in the worker's sandbox: the agent, and what tells whether it has finished.
pub(in crate::attempt) async fn start_process(
    attempt: &Attempt<'_>,
    prepared: &Prepared,
    desk: Option<&Desk>,
    command: AgentCommand,
) -> Result<AgentProcess, End> {
    let command = confine(attempt, prepared, desk, command).map_err(|error| {
        here(sandbox::UNAVAILABLE, format!("the sandbox could not be made: {error}"), attempt)
    })?;
    let failed = |error| here(AgentEnd::NOT_STARTABLE, chain(&error), attempt);
    AgentProcess::start(&command, &attempt.life.lease.switches).await.map_err(failed)
}

/// Puts the agent into the worker's sandbox, with its own places in it.
fn confine(
    attempt: &Attempt<'_>,
    prepared: &Prepared,
    desk: Option<&Desk>,
    mut command: AgentCommand,
) -> io::Result<AgentCommand> {
    let context = attempt.context();
    let sandbox = context.sandbox.get().ok_or_else(|| io::Error::other("none has been chosen"))?;
    let workspace = &prepared.workspace;
    let mut readable = vec![workspace.borrowed_objects(), command.stdin_file.clone()];
    readable.extend(desk.map(|desk| desk.socket().to_owned()));
    readable
        .extend(attempt.task.agent.client().into_iter().flat_map(|client| context.clients.places(client)));
    let writable = vec![workspace.tree(), workspace.home(), workspace.tmp()];
    command.confined = sandbox.confine(&Places { writable, readable })?;
    command.env.extend(proxy_variables(sandbox.network()));
    command.env.insert("MAKIMA_SANDBOX".to_owned(), sandbox.level().name().to_owned());
    Ok(command)
}
