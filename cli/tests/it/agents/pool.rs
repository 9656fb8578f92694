//! A stack whose workers have a client, and the model that the client asks.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use makima_scripted_model::{ScriptedModel, Step, script_line};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stack::{Options, Stack};

/// A client of a vendor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Claude,
    Codex,
}

/// A stack and a model.
pub(crate) struct Pool {
    pub(crate) stack: Stack,
    pub(crate) model: ScriptedModel,
    client: Client,
    _programs: TempDir,
}

impl Pool {
    pub(crate) async fn start(client: Client, workers: u32) -> Self {
        let model = ScriptedModel::start().await.unwrap();
        let programs = tempfile::tempdir().unwrap();
        let directory = match std::env::var_os("MAKIMA_TEST_AGENTS") {
            Some(real) => PathBuf::from(real),
            None => stand_ins(programs.path()),
        };
        let options = Options { workers, slots: 1, durable: false, programs: Some(directory) };
        let stack = Stack::start_with(options).await;
        Self { stack, model, client, _programs: programs }
    }

    /// Returns the body of a task whose agent follows a script.
    pub(crate) fn task(&self, name: &str, steps: &[Step]) -> Value {
        json!({
            "name": name, "plan": format!("Do what the script says.\n{}", script_line(steps)),
            "repositoryUrl": self.stack.repository.url(),
            "agent": self.agent(), "env": self.environment(),
            "checkpointIntervalSecs": 1, "completionAction": "push",
        })
    }

    fn agent(&self) -> Value {
        match self.client {
            Client::Claude => json!({"kind": "claude"}),
            Client::Codex => {
                let once = ["request_max_retries=1", "stream_max_retries=1"];
                let once = once.map(|setting| format!("model_providers.makima.{setting}"));
                // Its own choice of a model has no shell tool, but a JavaScript that calls tools.
                json!({"kind": "codex", "model": "scripted", "args": ["-c", once[0], "-c", once[1], "-c", "analytics.enabled=false"]})
            }
        }
    }

    fn environment(&self) -> Value {
        let url = self.model.url();
        match self.client {
            Client::Claude => json!({
                "ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "no-key", "CLAUDE_CODE_MAX_RETRIES": "1",
                "DISABLE_TELEMETRY": "1", "DISABLE_ERROR_REPORTING": "1",
            }),
            Client::Codex => json!({"OPENAI_BASE_URL": format!("{url}/v1"), "OPENAI_API_KEY": "no-key"}),
        }
    }

    /// Runs a task to its end, and returns that.
    pub(crate) async fn carry_out(&self, body: &Value) -> Value {
        let id = self.stack.submit(body).await;
        self.stack.wait_for_end(&id).await
    }

    /// Returns a file of a task's result.
    pub(crate) fn result(&self, task: &Value, file: &str) -> String {
        let branch = task["resultBranch"].as_str().unwrap_or_else(|| panic!("no result: {task:#}"));
        self.stack.repository.file(branch, file)
    }
}

/// Makes a directory of stand-ins under the names of the clients.
fn stand_ins(directory: &Path) -> PathBuf {
    let stand_in = Path::new(env!("CARGO_BIN_EXE_makima")).with_file_name("makima-stand-in");
    assert!(stand_in.exists(), "cargo build -p makima-scripted-model makes {}", stand_in.display());
    for name in ["claude", "codex"] {
        symlink(&stand_in, directory.join(name)).unwrap();
    }
    directory.to_owned()
}

/// Makes a step of its JSON.
pub(crate) fn step(json: Value) -> Step {
    serde_json::from_value(json).unwrap()
}
