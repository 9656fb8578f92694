//! The private Redis (or Valkey): how it is started, reached and asked whether it is ready.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::Command;
use url::Url;

use super::Durability;
use super::account::Account;
use super::data_dir::DataDir;
use super::error::ServicesError;
use super::programs;
use super::secrets::Secrets;
use super::server::{self, Probe};

/// Where Redis 7 and Redis 6 keep the append-only file.
const APPEND_ONLY: [&str; 2] = ["appendonlydir", "appendonly.aof"];

/// Redis over the files of one data directory.
#[derive(Clone)]
pub(super) struct Redis {
    pub(super) dir: PathBuf,
    pub(super) log: PathBuf,
    program: PathBuf,
    socket: PathBuf,
    account: Account,
    password: String,
    durability: Durability,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Redis {
    /// Finds the program; everything else is done at each start.
    pub(super) fn prepare(data_dir: &DataDir, durability: Durability) -> Result<Self, ServicesError> {
        Ok(Self {
            dir: data_dir.redis(),
            log: data_dir.log("redis.log"),
            program: programs::find_redis()?,
            socket: data_dir.run().join("redis.sock"),
            account: data_dir.account().clone(),
            password: Secrets::of(data_dir)?.redis_password,
            durability,
        })
    }

    /// The URL in the `redis` crate's form.
    pub(super) fn url(&self) -> String {
        let url = Url::from_file_path(&self.socket).map(|url| url.path().to_owned()).unwrap_or_default();
        format!("redis+unix://{url}?pass={}", self.password)
    }

    /// The server with its configuration as standard input, so that the password is in no argument list, nor in a
    /// file that has to be given to the server's user. The argument is for telling an orphan by.
    pub(super) fn command(&self) -> Result<Command, ServicesError> {
        let config = || {
            let (reader, mut writer) = std::io::pipe()?;
            // Fits into the pipe: paths are as short as those of sockets.
            writer.write_all(self.config().as_bytes())?;
            Ok(reader)
        };
        let config = config().map_err(ServicesError::io("pass the configuration to", &self.program))?;
        let mut command = server::command(&self.program, &self.account);
        command.arg("-").arg("--pidfile").arg(self.pid_file()).stdin(config);
        Ok(command)
    }

    /// Clears what a dead server left, and the configuration that earlier releases of makima kept there.
    pub(super) fn prepare_start(&self) -> Result<(), ServicesError> {
        server::remove_stale(&[&self.socket, &self.pid_file(), &self.dir.join("redis.conf")])
    }

    fn pid_file(&self) -> PathBuf {
        self.dir.join("redis.pid")
    }

    fn config(&self) -> String {
        let append_only = match self.durability {
            Durability::Durable => "yes",
            Durability::Ephemeral => "no",
        };
        let path = |path: &Path| quoted(&path.to_string_lossy());
        [
            "port 0".to_owned(),
            format!("unixsocket {}", path(&self.socket)),
            "unixsocketperm 700".to_owned(),
            format!("requirepass {}", quoted(&self.password)),
            format!("dir {}", path(&self.dir)),
            "daemonize no".to_owned(),
            // Keeps the command line as it is, by which an orphan is recognised.
            "set-proc-title no".to_owned(),
            "logfile \"\"".to_owned(),
            "save \"\"".to_owned(),
            format!("appendonly {append_only}"),
            "appendfsync everysec".to_owned(),
            "maxmemory-policy noeviction\n".to_owned(),
        ]
        .join("\n")
    }

    /// Logs in and pings: while Redis loads its file it answers, but with an error.
    pub(super) async fn probe(&self) -> Probe {
        match self.ping().await {
            Ok(answer) if answer == "+PONG" => Probe::Ready,
            Ok(answer) => Probe::NotYet(answer),
            Err(failed) => Probe::NotYet(failed.to_string()),
        }
    }

    async fn ping(&self) -> std::io::Result<String> {
        let mut stream = BufReader::new(UnixStream::connect(&self.socket).await?);
        stream.write_all(format!("AUTH {}\r\nPING\r\n", self.password).as_bytes()).await?;
        let mut answer = String::new();
        for _ in ["AUTH", "PING"] {
            answer.clear();
            stream.read_line(&mut answer).await?;
        }
        Ok(answer.trim_end().to_owned())
    }

    /// Moves an append-only file away that Redis says it cannot read: what it holds is only a hint. False if that is
    /// not what ails it.
    pub(super) fn set_aside_unreadable(&self, log: &str) -> Result<bool, ServicesError> {
        let log = log.to_ascii_lowercase();
        let unreadable = [
            "bad file format",
            "unrecoverable error reading",
            "can't handle rdb format",
            "aof manifest",
            "the aof file",
        ];
        if !unreadable.iter().any(|words| log.contains(words)) {
            return Ok(false);
        }
        let mut moved = false;
        for path in APPEND_ONLY.map(|name| self.dir.join(name)) {
            if path.exists() {
                let aside = path.with_extension("unreadable");
                let _ = fs::remove_dir_all(&aside).or_else(|_| fs::remove_file(&aside));
                fs::rename(&path, &aside).map_err(ServicesError::io("set aside", &path))?;
                moved = true;
            }
        }
        Ok(moved)
    }
}

/// Quotes a string for Redis's configuration file.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
