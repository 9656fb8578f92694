//! Runs one child process under a deadline and keeps a bounded part of what it prints.
//!
//! The child leads its own process group. A watchdog thread ends the group at the deadline, or when the command is
//! cancelled: by SIGTERM, and a second later by SIGKILL. The child is reaped only after the watchdog has ended and the
//! group is gone, so a reused process id is never hit. A helper that outlives the child with the pipe in its hand (an
//! ssh connection that is kept for later) holds the caller up for [`LINGER`] at most.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::cancel::Waited;
use super::{Cancel, GitError, scrub_credentials};

const STDOUT_LIMIT: usize = 16 << 20;
const STDERR_LIMIT: usize = 4 << 10;
const LINGER: Duration = Duration::from_secs(2);
/// How long a command that is ended may take to tidy up.
const TIDY_UP: Duration = Duration::from_secs(1);

/// What every run of a command needs to know.
pub(super) struct Terms<'a> {
    pub(super) name: &'static str,
    pub(super) deadline: Duration,
    pub(super) cancel: &'a Cancel,
}

/// How a command ended and what it printed.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Output {
    /// Returns stdout, or the failure as an error.
    pub(crate) fn success(self, command: &'static str) -> Result<Vec<u8>, GitError> {
        if self.status.success() {
            return Ok(self.stdout);
        }
        Err(GitError::Failed { command, exit_code: self.status.code(), stderr: self.stderr })
    }
}

/// Runs `command`, fed with `input` if there is any.
pub(super) fn capture(
    mut command: Command,
    terms: &Terms<'_>,
    input: Option<&mut dyn Read>,
) -> Result<Output, GitError> {
    let name = terms.name;
    let mut running = Running::start(&mut command, terms)?;
    let stdout = running.child.stdout.take().map(|pipe| Capture::begin(pipe, Keep::First(STDOUT_LIMIT)));
    let fed = match (input, running.child.stdin.take()) {
        (Some(input), Some(pipe)) => feed(input, pipe),
        _ => Ok(()),
    };
    if fed.is_err() {
        running.kill();
    }
    let (status, stderr) = running.finish()?;
    fed.map_err(|source| GitError::Data { command: name, source })?;
    let (stdout, whole) = stdout.map_or((Vec::new(), true), Capture::finish);
    if !whole {
        return Err(GitError::OutputTooLong { command: name, limit_bytes: STDOUT_LIMIT });
    }
    Ok(Output { status, stdout, stderr })
}

/// Runs `command` and copies its stdout into `sink`.
pub(super) fn stream(mut command: Command, terms: &Terms<'_>, sink: &mut dyn Write) -> Result<(), GitError> {
    let name = terms.name;
    let mut running = Running::start(&mut command, terms)?;
    let copied = match running.child.stdout.take() {
        Some(mut pipe) => copy(&mut pipe, sink),
        None => Ok(()),
    };
    if copied.is_err() {
        running.kill();
    }
    let (status, stderr) = running.finish()?;
    copied.map_err(|source| GitError::Data { command: name, source })?;
    Output { status, stdout: Vec::new(), stderr }.success(name).map(drop)
}

struct Running {
    child: Child,
    name: &'static str,
    deadline: Duration,
    stderr: Option<Capture>,
    cancel: Cancel,
    ended: Arc<AtomicBool>,
    watchdog: JoinHandle<Waited>,
}

impl Running {
    fn start(command: &mut Command, terms: &Terms<'_>) -> Result<Self, GitError> {
        let Terms { name, deadline, cancel } = *terms;
        cancel.check()?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|source| {
            let has_directory = command.get_current_dir().is_some_and(Path::is_dir);
            if source.kind() == std::io::ErrorKind::NotFound && has_directory {
                GitError::NotFound
            } else {
                GitError::Spawn { command: name, source }
            }
        })?;
        let stderr = child.stderr.take().map(|pipe| Capture::begin(pipe, Keep::Last(STDERR_LIMIT)));
        let ended = Arc::new(AtomicBool::new(false));
        let watchdog = watch(group_of(&child), deadline, cancel.clone(), Arc::clone(&ended));
        Ok(Self { child, name, deadline, stderr, cancel: cancel.clone(), ended, watchdog })
    }

    /// Ends the child before its time; it is reaped by [`Running::finish`].
    fn kill(&self) {
        let _ = killpg(group_of(&self.child), Signal::SIGKILL);
    }

    fn finish(mut self) -> Result<(ExitStatus, String), GitError> {
        let pid = group_of(&self.child);
        while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(nix::Error::EINTR) {}
        self.cancel.tell(&self.ended);
        let waited = self.watchdog.join().unwrap_or(Waited::Ended);
        if waited != Waited::Ended {
            // Its helpers were asked at the same moment, and the one that holds a lock is such a one. They have its stderr.
            if let Some(stderr) = &self.stderr {
                stderr.wait_for_end();
            }
            let _ = killpg(pid, Signal::SIGKILL);
        }
        let status = self.child.wait().map_err(|source| GitError::Spawn { command: self.name, source })?;
        match waited {
            Waited::Ended => {}
            Waited::Overdue => {
                return Err(GitError::TimedOut { command: self.name, deadline: self.deadline });
            }
            Waited::Cancelled => return Err(GitError::Cancelled),
        }
        let stderr = self.stderr.map(|capture| capture.finish().0).unwrap_or_default();
        Ok((status, scrub_credentials(String::from_utf8_lossy(&stderr).trim())))
    }
}

/// Starts the thread that ends `group` when its time is over: asked first, because git takes its lock files away when it is,
/// and one that stays in a repository of this machine keeps everybody from that branch.
fn watch(group: Pid, deadline: Duration, cancel: Cancel, ended: Arc<AtomicBool>) -> JoinHandle<Waited> {
    std::thread::spawn(move || {
        let waited = cancel.wait(deadline, &ended);
        if waited != Waited::Ended {
            let _ = killpg(group, Signal::SIGTERM);
            if !cancel.wait_for_end(TIDY_UP, &ended) {
                // Fails only if the group is gone already, which is what is wanted.
                let _ = killpg(group, Signal::SIGKILL);
            }
        }
        waited
    })
}

fn group_of(child: &Child) -> Pid {
    // Process ids fit: the kernel's own type is i32.
    Pid::from_raw(child.id().cast_signed())
}

/// Copies `input` into the child. A child that stops reading is no error here: its exit status tells why.
fn feed(input: &mut dyn Read, mut pipe: impl Write) -> std::io::Result<()> {
    let mut buffer = [0; 64 << 10];
    loop {
        let count = read_some(input, &mut buffer)?;
        if count == 0 || pipe.write_all(&buffer[..count]).is_err() {
            return Ok(());
        }
    }
}

fn copy(pipe: &mut dyn Read, sink: &mut dyn Write) -> std::io::Result<()> {
    let mut buffer = [0; 64 << 10];
    loop {
        match read_some(pipe, &mut buffer)? {
            0 => return Ok(()),
            count => sink.write_all(&buffer[..count])?,
        }
    }
}

fn read_some(source: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

#[derive(Clone, Copy)]
enum Keep {
    First(usize),
    Last(usize),
}

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    cut: bool,
}

/// A thread that empties a pipe and keeps a part of it.
struct Capture {
    kept: Arc<Mutex<Kept>>,
    closed: mpsc::Receiver<()>,
}

impl Capture {
    fn begin(mut pipe: impl Read + Send + 'static, keep: Keep) -> Self {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let (open, closed) = mpsc::channel::<()>();
        let shared = Arc::clone(&kept);
        std::thread::spawn(move || {
            let _open = open;
            let mut buffer = [0; 16 << 10];
            while let Ok(count @ 1..) = read_some(&mut pipe, &mut buffer) {
                lock(&shared).take(&buffer[..count], keep);
            }
        });
        Self { kept, closed }
    }

    /// Waits until nobody has the pipe any more.
    fn wait_for_end(&self) {
        let _ = self.closed.recv_timeout(LINGER);
    }

    /// Returns what was kept, and whether it is all there was.
    fn finish(self) -> (Vec<u8>, bool) {
        self.wait_for_end();
        let mut kept = lock(&self.kept);
        (std::mem::take(&mut kept.bytes), !kept.cut)
    }
}

impl Kept {
    fn take(&mut self, bytes: &[u8], keep: Keep) {
        match keep {
            Keep::First(limit) => {
                let room = limit.saturating_sub(self.bytes.len());
                self.cut |= bytes.len() > room;
                self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Keep::Last(limit) => {
                self.bytes.extend_from_slice(bytes);
                let excess = self.bytes.len().saturating_sub(limit);
                self.bytes.drain(..excess);
            }
        }
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cancels a shell that runs `script`, with two paths, as soon as it has made the first and opened the second; tells
    /// whether the first is still there afterwards.
    fn leaves_its_lock(script: &str) -> bool {
        let directory = tempfile::tempdir().unwrap();
        let (lock, started) = (directory.path().join("ref.lock"), directory.path().join("started"));
        nix::unistd::mkfifo(&started, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(&lock).arg(&started);
        let cancel = Cancel::default();
        let terms = Terms { name: "sh", deadline: Duration::from_secs(3600), cancel: &cancel };
        let outcome = std::thread::scope(|scope| {
            let running = scope.spawn(|| capture(command, &terms, None));
            // Opens once the command has its lock.
            std::fs::read(&started).unwrap();
            assert!(lock.exists());
            cancel.cancel();
            running.join().unwrap()
        });
        assert!(matches!(outcome, Err(GitError::Cancelled)));
        lock.exists()
    }

    #[test]
    fn a_command_that_is_cancelled_takes_its_lock_files_away() {
        assert!(!leaves_its_lock("trap 'rm \"$0\"; exit 1' TERM; : > \"$0\"; : > \"$1\"; sleep 1000 & wait"));
    }

    #[test]
    fn a_helper_that_is_slower_than_its_command_takes_its_lock_files_away() {
        let helper = "trap 'sleep 0.3; rm \"$0\"; exit 1' TERM; : > \"$0\"; : > \"$1\"; sleep 1000 & wait";
        assert!(!leaves_its_lock(&format!("({helper}) & wait")));
    }
}
