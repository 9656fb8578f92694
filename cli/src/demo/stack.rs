//! The `makima up` that a demo runs over: a process of its own, in a group of its own, with its words in a file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use makima_shared::domain::Worker;
use makima_worker::shim;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

use super::leftovers::MARK;
use super::stage::Stage;
use crate::client::{Client, ClientFile};
use crate::directories;

/// How many workers there are, each with one slot.
pub(crate) const WORKERS: usize = 3;
const READY_WITHIN: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A stack that was asked to end and has not by then is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// How much of the log is read for its last lines, in bytes.
const TAIL_BYTES: u64 = 16 * 1024;

/// A running `makima up`.
pub(crate) struct Stack {
    child: Child,
    pid: i32,
    /// Its end tells the stack that the demo is gone, however it went.
    _stdin: Option<ChildStdin>,
    client_file: PathBuf,
    lost_disk: PathBuf,
}

impl Stack {
    /// Starts it. What the person has configured for makima plays no part, except for servers that stand elsewhere.
    pub(crate) fn start(stage: &Stage, sandbox: &str) -> anyhow::Result<Self> {
        let log = File::create(stage.log())?;
        let mut command = std::process::Command::new(shim::own_executable()?);
        command
            .arg0("makima")
            .arg("up")
            .arg("--data-dir")
            .arg(stage.data())
            .args(["--listen", "127.0.0.1:0"]);
        command.args(["--workers", &WORKERS.to_string(), "--slots", "1", "--exit-with-parent"]);
        command.arg("--set").arg(format!("worker.sandbox={sandbox}"));
        // The agent that joins the branches fetches one of them by itself.
        command.arg("--set").arg(format!("worker.sandbox_read_paths={}", stage.origin().display()));
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"MAKIMA_"))
        {
            command.env_remove(name);
        }
        command.env(MARK, stage.path()).env("NO_COLOR", "1").current_dir(stage.path());
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let mut child =
            Command::from(command).kill_on_drop(true).spawn().context("cannot start makima up")?;
        let pid =
            child.id().and_then(|pid| i32::try_from(pid).ok()).context("makima up has ended at once")?;
        let _stdin = child.stdin.take();
        let client_file = directories::client_file(&stage.data());
        Ok(Self { child, pid, _stdin, client_file, lost_disk: stage.path().join("lost") })
    }

    /// Where the workspace of a machine goes that is lost.
    pub(crate) fn lost_disk(&self) -> &Path {
        &self.lost_disk
    }

    /// Waits until the API answers and all workers are there.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<Client> {
        let give_up = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("makima up has ended: {status}");
            }
            if let Some(client) = self.connect()?
                && self.workers(&client).await.is_ok_and(|workers| workers.len() == WORKERS)
            {
                return Ok(client);
            }
            if Instant::now() > give_up {
                bail!("makima up was not ready within {} s", READY_WITHIN.as_secs());
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn connect(&self) -> anyhow::Result<Option<Client>> {
        if !self.client_file.exists() {
            return Ok(None);
        }
        let file = ClientFile::read(&self.client_file)?;
        Ok(Some(Client::new(&file.url, &file.api_key)?))
    }

    /// Lists the workers of this stack that live; a shared database may know others.
    pub(crate) async fn workers(&self, client: &Client) -> anyhow::Result<Vec<Worker>> {
        let all = client.read_workers(client.workers_json().await?)?;
        Ok(all.into_iter().filter(|worker| worker.alive && self.started(worker.pid)).collect())
    }

    /// Tells whether a process is a child of this stack.
    pub(crate) fn started(&self, pid: i32) -> bool {
        parent_of(pid) == Some(self.pid)
    }

    /// Waits until it ends unasked.
    pub(crate) async fn ended(&mut self) -> anyhow::Error {
        match self.child.wait().await {
            Ok(status) => anyhow::anyhow!("makima up has ended unasked: {status}"),
            Err(error) => error.into(),
        }
    }

    /// Asks it to end and waits; what does not end in time is killed.
    pub(crate) async fn stop(mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        let group = Pid::from_raw(self.pid);
        kill(group, Signal::SIGTERM)?;
        if let Ok(status) = timeout(ENDS_WITHIN, self.child.wait()).await {
            return status;
        }
        killpg(group, Signal::SIGKILL)?;
        self.child.wait().await
    }
}

/// Returns the last lines of a log.
pub(crate) fn tail(log: &Path, lines: usize) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect()
}

fn parent_of(pid: i32) -> Option<i32> {
    if Path::new("/proc/self/stat").exists() {
        // The name of the program comes first, in parentheses, and may hold anything.
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        return text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok();
    }
    let output =
        std::process::Command::new("ps").args(["-o", "ppid=", "-p", &pid.to_string()]).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_of_a_process_is_found() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let found = parent_of(i32::try_from(child.id()).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, Some(own));
    }

    #[test]
    fn the_tail_is_the_last_lines() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one\ntwo\nthree\n").unwrap();
        assert_eq!(tail(file.path(), 2), ["two", "three"]);
        assert!(tail(Path::new("/nowhere"), 2).is_empty());
    }
}
