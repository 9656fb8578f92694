//! How an agent asks for a checkpoint: one line each way over a unix socket of its attempt.
//!
//! The socket stands beside the work tree and goes with the attempt. A random token says that whoever asks belongs to this
//! task and epoch; nothing of it is stored or logged. This file is what both ends share, and the agent's end.

mod serve;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

pub(crate) use serve::{Ask, Desk};

/// Names the socket to the agent.
pub const SOCKET_VARIABLE: &str = "MAKIMA_CHECKPOINT_SOCKET";
/// Holds the token.
pub const TOKEN_VARIABLE: &str = "MAKIMA_CHECKPOINT_TOKEN";

/// The longest line: a message of control characters alone, each written as an escape, fits.
const MAX_LINE_BYTES: u64 = 32 << 10;
/// The longest path of a socket on Linux (`sockaddr_un.sun_path`, less the NUL).
const MAX_SOCKET_PATH: usize = 107;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    token: String,
    #[serde(default)]
    message: Option<String>,
}

/// What an agent is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is stored under this number.
    Stored(i32),
    /// Nothing has changed since the last checkpoint, and there was no message to store.
    Unchanged,
    /// It was not taken, for this reason.
    Refused(String),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The worker cannot be reached, or went away.
    #[error("the worker of this workspace does not answer")]
    Io(#[from] io::Error),
    /// It says something else.
    #[error("the worker of this workspace gave an answer that this makima does not know")]
    Unknown(#[from] serde_json::Error),
}

/// Asks the worker for a checkpoint and waits for its answer. Blocks.
///
/// # Errors
/// The worker cannot be reached, or speaks another language.
pub fn ask(socket: &Path, token: &str, message: Option<&str>) -> Result<Answer, AskError> {
    let reachable = Reachable::new(socket)?;
    let mut stream = UnixStream::connect(&reachable.path)?;
    let request = Request { token: token.to_owned(), message: message.map(str::to_owned) };
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(MAX_LINE_BYTES)).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(AskError::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(serde_json::from_slice(&answer)?)
}

/// A path that is short enough for a socket, whatever the directory's length.
pub(crate) struct Reachable {
    pub(crate) path: PathBuf,
    /// The path leads through this handle.
    _directory: Option<File>,
}

impl Reachable {
    pub(crate) fn new(socket: &Path) -> io::Result<Self> {
        if socket.as_os_str().as_bytes().len() <= MAX_SOCKET_PATH {
            return Ok(Self { path: socket.to_owned(), _directory: None });
        }
        let (Some(parent), Some(name)) = (socket.parent(), socket.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = File::options().read(true).custom_flags(flags.bits()).open(parent)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
        Ok(Self { path, _directory: Some(directory) })
    }
}
