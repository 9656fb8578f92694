//! The stack under measurement: `makima up` as a child process, in a data directory of its own.
//!
//! It runs as anybody would run it: PostgreSQL with fsync, Redis with its append-only file, an API, a scheduler and
//! workers. Of the environment it gets no `MAKIMA_*`, so that a run depends on its options alone; `DATABASE_URL` and
//! `REDIS_URL` mean what they always mean. It leads a process group of its own, so that Ctrl-C reaches this process alone,
//! which then ends it orderly; should this process be killed, it ends by itself.

mod servers;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{sleep, timeout};

pub(crate) use servers::{QUEUE, Servers};

use crate::client::{Api, ClientFile};
use crate::options::Options;
use crate::progress::Progress;
use crate::scratch::Scratch;

/// Nothing tells when a file appears or a worker has registered, so one has to look.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A stack that is not up by then never will be.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// A stack that was told to end and has not by then is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(60);
const LOG_LINES_SHOWN: usize = 20;

/// How many of what a stack has.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    workers: usize,
    slots: usize,
    postgres_connections: usize,
    /// The value of `worker.sandbox`.
    sandbox: &'static str,
    /// Where workers look for programs before anywhere else.
    programs: Option<PathBuf>,
}

impl Shape {
    /// Workers that run agents.
    pub(crate) fn of_agents(workers: usize, slots: usize) -> Self {
        // Agents stamp the time into files of the bench.
        Self { workers, slots, postgres_connections: 200, sandbox: "none", programs: None }
    }

    /// No workers of its own, and room for many of others.
    pub(crate) fn of_plane() -> Self {
        Self { workers: 0, slots: 1, postgres_connections: 2_300, ..Self::of_agents(0, 1) }
    }

    /// One worker that has a client in `programs`.
    pub(crate) fn of_client(slots: usize, sandbox: &'static str, programs: &Path) -> Self {
        Self { sandbox, programs: Some(programs.to_owned()), ..Self::of_agents(1, slots) }
    }
}

/// A running `makima up`.
pub(crate) struct Stack {
    child: Child,
    /// It ends when this does.
    _stdin: Option<ChildStdin>,
    data_dir: PathBuf,
    log: PathBuf,
}

impl Stack {
    /// Starts it. It is not ready yet.
    pub(crate) fn spawn(options: &Options, scratch: &Scratch, shape: &Shape) -> anyhow::Result<Self> {
        let (data_dir, log) = (scratch.data_dir(), scratch.stack_log());
        let program = options.makima()?;
        let output = File::create(&log)?;
        let mut command = Command::new(&program);
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"MAKIMA_"))
        {
            command.env_remove(name);
        }
        if let Some(programs) = &shape.programs {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let places = std::iter::once(programs.clone()).chain(std::env::split_paths(&path));
            command.env("PATH", std::env::join_paths(places)?);
        }
        let mut child = command
            .args(["up", "--exit-with-parent"])
            .arg("--data-dir")
            .arg(&data_dir)
            .args(["--listen", "127.0.0.1:0"])
            .args(["--workers", &shape.workers.to_string(), "--slots", &shape.slots.to_string()])
            .env("MAKIMA_WORKER_SANDBOX", shape.sandbox)
            .env("MAKIMA_PG_CONNECTIONS", shape.postgres_connections.to_string())
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        Ok(Self { _stdin: child.stdin.take(), child, data_dir, log })
    }

    /// Waits until it takes tasks and all its workers are there.
    pub(crate) async fn ready(&mut self, workers: usize, progress: &Progress) -> anyhow::Result<Api> {
        let _phase = progress.phase("starting PostgreSQL, Redis and makima", 1);
        match timeout(UP_WITHIN, self.look_until_ready(workers)).await {
            Ok(api) => api,
            Err(_late) => {
                bail!("makima up was not ready within {} s:\n{}", UP_WITHIN.as_secs(), self.last_words())
            }
        }
    }

    async fn look_until_ready(&mut self, workers: usize) -> anyhow::Result<Api> {
        let file = self.data_dir.join("client.json");
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("makima up ended ({status}):\n{}", self.last_words());
            }
            if let Some(client) = ClientFile::read(&file) {
                let api = Api::new(client)?;
                if api.is_ready().await && api.workers_alive().await.unwrap_or(0) >= workers {
                    return Ok(api);
                }
            }
            sleep(LOOK_EVERY).await; // why: nothing tells when it is ready
        }
    }

    /// Returns the servers that it works on.
    pub(crate) fn servers(&self) -> anyhow::Result<Servers> {
        Servers::of(&self.data_dir)
    }

    /// Returns the process id of `makima up`, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }

    /// Ends it orderly, and by force if it takes too long, and removes what it kept.
    pub(crate) async fn stop(mut self) {
        // None if it has ended already. Process ids fit: the kernel's own type is i32.
        let Some(pid) = self.child.id().map(|id| Pid::from_raw(id.cast_signed())) else { return };
        let _ = kill(pid, Signal::SIGTERM);
        if timeout(ENDS_WITHIN, self.child.wait()).await.is_err() {
            eprintln!("bench: makima up does not end, killing it");
            let _ = killpg(pid, Signal::SIGKILL);
            let _ = self.child.wait().await;
        }
        // Whatever is left goes with the directory around it.
        let _ = tokio::fs::remove_dir_all(&self.data_dir).await;
    }
}
