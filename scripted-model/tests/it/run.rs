//! A stand-in in a directory of its own.

use std::os::unix::fs::symlink;
use std::process::{ExitStatus, Stdio};

use makima_scripted_model::{ScriptedModel, Step, script_line};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

pub(crate) struct Client {
    directory: TempDir,
    name: &'static str,
}

/// How a client ended.
pub(crate) struct Run {
    pub(crate) status: ExitStatus,
    pub(crate) lines: Vec<Value>,
}

impl Run {
    pub(crate) fn last(&self) -> &Value {
        self.lines.last().unwrap()
    }
}

impl Client {
    pub(crate) fn new(name: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        symlink(env!("CARGO_BIN_EXE_makima-stand-in"), directory.path().join(name)).unwrap();
        std::fs::create_dir(directory.path().join("work")).unwrap();
        Self { directory, name }
    }

    pub(crate) fn start(&self, model: &ScriptedModel, args: &[&str]) -> Child {
        let path = |name: &str| self.directory.path().join(name);
        let mut command = Command::new(path(self.name));
        command.current_dir(path("work")).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        command.env("CLAUDE_CONFIG_DIR", path("config")).env("CODEX_HOME", path("config"));
        command.env("ANTHROPIC_BASE_URL", model.url()).env("CLAUDE_CODE_MAX_RETRIES", "1");
        command.args(args).spawn().unwrap()
    }

    pub(crate) async fn run(&self, model: &ScriptedModel, args: &[&str]) -> Run {
        end(self.start(model, args)).await
    }

    pub(crate) fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join("work").join(name)).unwrap()
    }
}

/// Waits until a client's request has come to a gate, unless the client ends before.
pub(crate) async fn arrived(model: &ScriptedModel, child: &mut Child, gate: &str) {
    tokio::select! {
        () = model.arrived(gate, 1) => {}
        ended = child.wait() => panic!("it ended before it came to {gate}: {ended:?}"),
    }
}

/// Waits for the end of a client.
pub(crate) async fn end(child: Child) -> Run {
    let output = child.wait_with_output().await.unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Run { status: output.status, lines }
}

pub(crate) fn prompt(steps: &[Step]) -> String {
    format!("Do it.\n{}", script_line(steps))
}

pub(crate) fn refusal(json: &str) -> Step {
    serde_json::from_str(json).unwrap()
}
