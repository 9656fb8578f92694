//! The private Redis. It keeps nothing: what it knew dies with it.

use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Child;

use super::account::Account;
use super::{child, programs};

/// Redis without any persistence.
pub(crate) struct Redis {
    program: PathBuf,
    dir: PathBuf,
    log: PathBuf,
    account: Account,
    child: Option<Child>,
}

impl Redis {
    pub(super) fn make(root: &Path, account: Account) -> anyhow::Result<Self> {
        let dir = root.join("redis");
        account.make_dir(&dir)?;
        Ok(Self { program: programs::redis()?, dir, log: root.join("log/redis.log"), account, child: None })
    }

    /// Starts it, empty, and waits until it answers.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        let mut command = child::command(&self.program, &self.account);
        command.args(["--port", "0", "--unixsocketperm", "700", "--save", "", "--appendonly", "no"]);
        command.arg("--unixsocket").arg(self.socket()).arg("--dir").arg(&self.dir);
        command.arg("--pidfile").arg(self.dir.join("redis.pid"));
        let mut child = child::spawn(command, &self.log)?;
        let socket = self.socket();
        child::ready(&mut child, || async { answers(&socket).await.unwrap_or(false) }).await?;
        self.child = Some(child);
        Ok(())
    }

    /// Kills it.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child::end(&mut child, Signal::SIGKILL).await;
        }
    }

    /// Sends it a signal, if it runs.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.as_ref().and_then(child::pid) {
            let _ = kill(pid, signal);
        }
    }

    /// Returns its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("redis.sock")
    }
}

/// Returns the URL of a Redis that listens on a socket.
pub(crate) fn url(socket: &Path) -> String {
    format!("redis+unix://{}", socket.display())
}

async fn answers(socket: &Path) -> std::io::Result<bool> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(b"PING\r\n").await?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await?;
    Ok(&answer == b"+PONG\r\n")
}
