//! One attempt's directory and what a worker has around an agent.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use makima_shared::config::SandboxConfig;
use makima_worker::output::{Batch, Stream, pump};
use makima_worker::process::{
    AgentCommand, AgentEnd, AgentProcess, DeadManSwitches, boottime_ms, own_executable,
};
use makima_worker::sandbox::{Confined, Level, Places, Sandbox};
use tokio::sync::mpsc;

/// An hour: a lease that does not run out in a test.
pub(crate) const LONG: Duration = Duration::from_secs(3_600);

pub(crate) struct Stage {
    pub(crate) directory: PathBuf,
    pub(crate) switches: Arc<DeadManSwitches>,
    confined: Confined,
    _kept: Option<tempfile::TempDir>,
}

impl Stage {
    pub(crate) fn new(plan: &str) -> Self {
        let kept = tempfile::tempdir().unwrap();
        let mut stage = Self::at(kept.path(), plan);
        stage._kept = Some(kept);
        stage
    }

    pub(crate) fn at(directory: &Path, plan: &str) -> Self {
        fs::create_dir_all(directory.join("tree")).unwrap();
        fs::write(directory.join("plan.txt"), plan).unwrap();
        Self {
            directory: directory.to_owned(),
            switches: DeadManSwitches::new(),
            confined: Confined::default(),
            _kept: None,
        }
    }

    /// Puts the agents of this stage into a sandbox in which the tree alone can be written.
    pub(crate) fn confine(mut self, level: Level, config: &SandboxConfig) -> Self {
        let data_dir = self.directory.join("data");
        let executable = own_executable().unwrap();
        let sandbox = Sandbox::new(level, config, &[], &data_dir, &executable);
        let tree = self.directory.join("tree");
        let places = Places { writable: vec![tree], readable: vec![self.directory.join("plan.txt")] };
        self.confined = sandbox.confine(&places).unwrap();
        self
    }

    /// A mark that no other test's processes carry.
    pub(crate) fn mark(&self) -> String {
        format!("mark={}", self.directory.display())
    }

    pub(crate) fn command<S: AsRef<str>>(&self, argv: &[S]) -> AgentCommand {
        AgentCommand {
            shim: own_executable().unwrap(),
            argv: argv.iter().map(|word| OsString::from(word.as_ref())).collect(),
            env: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
            cwd: self.directory.join("tree"),
            stdin_file: self.directory.join("plan.txt"),
            confined: self.confined.clone(),
        }
    }

    pub(crate) fn shell(&self, script: &str) -> AgentCommand {
        self.command(&["sh", "-c", script, &self.mark()])
    }

    pub(crate) fn part(&self, part: &str, mark: &str) -> AgentCommand {
        self.command(&[std::env::current_exe().unwrap().to_str().unwrap(), "play", part, mark])
    }

    pub(crate) async fn start(&self, command: &AgentCommand) -> AgentProcess {
        self.start_until(command, boottime_ms() + u64::try_from(LONG.as_millis()).unwrap()).await
    }

    pub(crate) async fn start_until(&self, command: &AgentCommand, lease_until_ms: u64) -> AgentProcess {
        self.switches.extend(lease_until_ms);
        AgentProcess::start(command, &self.switches).await.unwrap()
    }

    pub(crate) fn run<T>(&self, work: impl AsyncFnOnce(&Self) -> T) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work(self))
    }

    /// Runs an agent to its end; returns what it said on stdout.
    pub(crate) fn perform(&self, command: &AgentCommand) -> (AgentEnd, String) {
        self.run(async |stage| {
            let mut process = stage.start(command).await;
            let mut lines = Output::of(&mut process);
            let end = process.wait().await;
            (end, lines.rest().await)
        })
    }
}

/// An agent's output as it comes.
pub(crate) struct Output {
    batches: mpsc::Receiver<Batch>,
}

impl Output {
    pub(crate) fn of(process: &mut AgentProcess) -> Self {
        let (tx, batches) = mpsc::channel(4);
        tokio::spawn(pump(process.stdout().unwrap(), process.stderr().unwrap(), u64::MAX, tx));
        Self { batches }
    }

    /// Waits for this line on stdout.
    pub(crate) async fn await_line(&mut self, wanted: &str) {
        while let Some(batch) = self.batches.recv().await {
            if batch.lines.iter().any(|line| line.text == wanted) {
                return;
            }
        }
        panic!("the agent ended without saying {wanted:?}");
    }

    async fn rest(&mut self) -> String {
        let mut text = String::new();
        while let Some(batch) = self.batches.recv().await {
            for line in batch.lines {
                match line.stream {
                    Stream::Stdout => text.push_str(&format!("{}\n", line.text)),
                    Stream::Stderr => eprintln!("agent: {}", line.text),
                }
            }
        }
        text
    }
}
