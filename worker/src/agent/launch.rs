//! Starting an agent: its files, its environment, its command.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use makima_shared::domain::ClaimedTask;

use super::{Ask, Line, WORKSPACE_VARIABLE, adapter};
use crate::checkpoint_request::{Desk, SOCKET_VARIABLE, TOKEN_VARIABLE};
use crate::process::AgentCommand;
use crate::sandbox::Confined;
use crate::workspace::{Workspace, agent_home};

/// Where the plan is, beside the tree.
const PLAN_FILE: &str = "plan.txt";
/// Linux refuses an environment entry of over 128 KiB; a longer plan is only in the file.
const MAX_PLAN_VARIABLE_BYTES: usize = 100 * 1024;

/// What of the worker an agent is started with.
#[derive(Clone, Copy)]
pub(crate) struct Launching<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) desk: Option<&'a Desk>,
    /// The makima executable.
    pub(crate) executable: &'a Path,
    /// Variables of the worker's environment that every agent gets.
    pub(crate) allowed_env: &'a [String],
}

/// Writes the plan and the agent's input where the agent reads them, and returns how to start the agent, with the line
/// to it if it listens. No agent of the workspace runs.
pub(crate) fn prepare(
    launching: &Launching<'_>,
    ask: &Ask<'_>,
) -> std::io::Result<(AgentCommand, Option<Line>)> {
    let Launching { workspace, desk, executable, .. } = *launching;
    let (task, adapter) = (ask.task, adapter(&ask.task.agent));
    let launch = match ask.session {
        Some(session) => adapter.resume(ask, session),
        None => adapter.start(ask),
    };
    if let Some(place) = adapter.conversation() {
        // Codex does not start where its directory is not there.
        let top = place.directory.split('/').next().unwrap_or_default();
        agent_home::make_directory(&workspace.home(), top)?;
    }
    let plan_file = write(workspace, PLAN_FILE, &task.plan)?;
    let (stdin_file, line) = if adapter.listens() {
        let path = vacant(workspace, "stdin")?;
        let line = Line::make(&path, launch.stdin)?;
        (path, Some(line))
    } else if launch.stdin == task.plan {
        (plan_file.clone(), None)
    } else {
        (write(workspace, "input.txt", &launch.stdin)?, None)
    };
    let mut env = whole_environment(launching, task);
    env.extend(launch.env);
    if let Some(round) = ask.round {
        env.insert("MAKIMA_ROUND".to_owned(), round.to_string());
        env.extend(ask.prompt.map(|prompt| ("MAKIMA_ROUND_PROMPT".to_owned(), without_nul(prompt))));
    }
    if let Some(desk) = desk {
        env.insert(SOCKET_VARIABLE.to_owned(), desk.socket().display().to_string());
        env.insert(TOKEN_VARIABLE.to_owned(), desk.token().to_owned());
    }
    let command = AgentCommand {
        shim: executable.to_owned(),
        argv: launch.argv,
        env,
        cwd: workspace.tree(),
        stdin_file,
        confined: Confined::default(),
    };
    Ok((command, line))
}

/// Returns how to start the command that tells whether the task is finished: as the agent is started, with an empty input.
pub(crate) fn prepare_verify(
    launching: &Launching<'_>,
    task: &ClaimedTask,
    argv: &[String],
) -> std::io::Result<AgentCommand> {
    let workspace = launching.workspace;
    Ok(AgentCommand {
        shim: launching.executable.to_owned(),
        argv: argv.iter().map(Into::into).collect(),
        env: whole_environment(launching, task),
        cwd: workspace.tree(),
        stdin_file: write(workspace, "input.txt", "")?,
        confined: Confined::default(),
    })
}

/// Returns the environment of whatever is run for the task.
fn whole_environment(launching: &Launching<'_>, task: &ClaimedTask) -> BTreeMap<String, String> {
    let passed = adapter(&task.agent).passes().iter().map(|name| (*name).to_owned());
    let allowed: Vec<String> = launching.allowed_env.iter().cloned().chain(passed).collect();
    let plan_file = launching.workspace.root().join(PLAN_FILE);
    let mut env = environment(task, launching.workspace, &plan_file, &allowed);
    add_own_program(&mut env, launching.executable);
    env
}

/// A variable cannot hold one.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Returns a path beside the tree where nothing stands. What an earlier round left there is gone.
fn vacant(workspace: &Workspace, name: &str) -> std::io::Result<PathBuf> {
    let path = workspace.root().join(name);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(path),
    }
}

fn write(workspace: &Workspace, name: &str, text: &str) -> std::io::Result<PathBuf> {
    let path = vacant(workspace, name)?;
    // Whatever stands there already is not the worker's.
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(text.as_bytes())?;
    Ok(path)
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
