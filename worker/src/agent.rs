//! Agents: what a task's agent is started with. One file each.

mod command;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use makima_shared::domain::{Agent, ClaimedTask};

use crate::checkpoint_request::{Desk, SOCKET_VARIABLE, TOKEN_VARIABLE};
use crate::process::{AgentCommand, Signal};
use crate::workspace::Workspace;

/// Names the workspace to the agent, and the agent's processes to a worker that clears up.
pub(crate) const WORKSPACE_VARIABLE: &str = "MAKIMA_WORKSPACE";

/// Linux refuses an environment entry of over 128 KiB; a longer plan is only in the file.
const MAX_PLAN_VARIABLE_BYTES: usize = 100 * 1024;

/// Returns the signal that asks an agent to end.
pub(crate) fn stop_signal(agent: &Agent) -> Signal {
    match agent {
        Agent::Command { .. } => command::STOP_SIGNAL,
    }
}

/// Writes the plan where the agent reads it, and returns how to start the agent.
pub(crate) fn prepare(
    task: &ClaimedTask,
    workspace: &Workspace,
    desk: Option<&Desk>,
    executable: &Path,
    allowed_env: &[String],
) -> std::io::Result<AgentCommand> {
    let plan_file = workspace.root().join("plan.txt");
    // Whatever stands there already is not the worker's.
    let mut plan = File::options().write(true).create_new(true).mode(0o600).open(&plan_file)?;
    plan.write_all(task.plan.as_bytes())?;
    let argv = match &task.agent {
        Agent::Command { argv } => argv.iter().map(OsString::from).collect(),
    };
    let mut env = environment(task, workspace, &plan_file, allowed_env);
    add_own_program(&mut env, executable);
    if let Some(desk) = desk {
        env.insert(SOCKET_VARIABLE.to_owned(), desk.socket().display().to_string());
        env.insert(TOKEN_VARIABLE.to_owned(), desk.token().to_owned());
    }
    Ok(AgentCommand { shim: executable.to_owned(), argv, env, cwd: workspace.tree(), stdin_file: plan_file })
}

/// Lets the agent find this program by its name, behind all others, so that it can ask for checkpoints.
fn add_own_program(env: &mut BTreeMap<String, String>, executable: &Path) {
    let real = executable.canonicalize().ok();
    let directory = real.as_deref().and_then(Path::parent).and_then(Path::to_str);
    if let (Some(path), Some(directory)) = (env.get_mut("PATH"), directory)
        && !path.is_empty()
        && !directory.contains(':')
    {
        path.push(':');
        path.push_str(directory);
    }
}

/// Builds an agent's environment from nothing: the allowed part of the worker's, the task's own, then makima's.
fn environment(
    task: &ClaimedTask,
    workspace: &Workspace,
    plan_file: &Path,
    allowed: &[String],
) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> =
        allowed.iter().filter_map(|name| Some((name.clone(), std::env::var(name).ok()?))).collect();
    let path = |path: &Path| path.display().to_string();
    env.insert("HOME".to_owned(), path(&workspace.home()));
    env.insert("TMPDIR".to_owned(), path(&workspace.tmp()));
    env.extend(task.env.clone());
    env.extend(workspace.secrets().env());
    env.insert("MAKIMA_TASK_ID".to_owned(), task.id.to_string());
    env.insert("MAKIMA_EPOCH".to_owned(), task.epoch.to_string());
    env.insert(WORKSPACE_VARIABLE.to_owned(), path(&workspace.tree()));
    env.insert("MAKIMA_PLAN_FILE".to_owned(), path(plan_file));
    if task.plan.len() <= MAX_PLAN_VARIABLE_BYTES {
        env.insert("MAKIMA_PLAN".to_owned(), task.plan.clone());
    }
    env
}
