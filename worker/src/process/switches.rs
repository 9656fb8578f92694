//! The dead man's switches: the worker's ends of all control sockets, kept where the lease's own thread reaches them.
//!
//! **Invariant**: nothing here blocks. A full socket (a frozen shim) loses the line, which is safe, because a deadline
//! that is not renewed only comes earlier; a closed socket (a shim that ended) is forgotten.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;

use crate::shim::ControlLine;

/// All control sockets of a worker.
#[derive(Debug, Default)]
pub struct DeadManSwitches {
    inner: Mutex<Sockets>,
}

#[derive(Debug, Default)]
struct Sockets {
    /// The latest deadline that was announced, for sockets that register between two beats.
    lease_until_ms: Option<u64>,
    next_key: u64,
    open: BTreeMap<u64, File>,
}

impl DeadManSwitches {
    /// Makes an empty registry.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Takes the worker's end of a control socket in, until the returned guard is dropped.
    pub fn register(self: &Arc<Self>, socket: OwnedFd) -> io::Result<DeadManSwitch> {
        fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let mut sockets = self.lock();
        let key = sockets.next_key;
        sockets.next_key += 1;
        sockets.open.insert(key, File::from(socket));
        if let Some(until_ms) = sockets.lease_until_ms {
            sockets.send(key, ControlLine::Lease { until_ms });
        }
        Ok(DeadManSwitch { switches: Arc::clone(self), key })
    }

    /// Tells every shim that the lease is good until then, in milliseconds of [`crate::process::boottime_ms`].
    ///
    /// To be called at each beat, after the store has confirmed it, with the deadline counted from *before* the
    /// renewal was sent.
    pub fn extend(&self, until_ms: u64) {
        let mut sockets = self.lock();
        sockets.lease_until_ms = Some(until_ms);
        let keys: Vec<_> = sockets.open.keys().copied().collect();
        for key in keys {
            sockets.send(key, ControlLine::Lease { until_ms });
        }
    }

    /// Returns the latest deadline that was announced; 0, which is long past, if none was.
    pub fn lease_until_ms(&self) -> u64 {
        self.lock().lease_until_ms.unwrap_or_default()
    }

    /// Counts the shims that are reachable.
    pub fn len(&self) -> usize {
        self.lock().open.len()
    }

    /// Says whether no shim is reachable.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Sockets> {
        // A panic elsewhere must not stop the beat, and no half-done change can be seen here.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sockets {
    fn send(&mut self, key: u64, line: ControlLine) {
        let Some(socket) = self.open.get_mut(&key) else { return };
        // The system takes so short a line whole or not at all.
        match socket.write(format!("{line}\n").as_bytes()) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tracing::warn!("an agent's shim does not read its control socket");
            }
            Err(_closed) => {
                self.open.remove(&key);
            }
        }
    }
}

/// One control socket; closing it, by dropping this and the process that it is of, makes the shim kill its tree.
#[derive(Debug)]
pub struct DeadManSwitch {
    switches: Arc<DeadManSwitches>,
    key: u64,
}

impl DeadManSwitch {
    /// Tells the shim to signal its tree, and to kill what still lives after the grace.
    pub fn stop(&self, signal: Signal, grace: Duration) {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.switches.lock().send(self.key, ControlLine::Stop { signal, grace_ms });
    }
}

impl Drop for DeadManSwitch {
    fn drop(&mut self) {
        self.switches.lock().open.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn text(mut socket: UnixStream) -> String {
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn every_open_socket_gets_the_deadline_and_the_guard_closes_it() {
        let switches = DeadManSwitches::new();
        let (early, worker_end) = UnixStream::pair().unwrap();
        let first = switches.register(worker_end.into()).unwrap();
        switches.extend(10);
        let (late, worker_end) = UnixStream::pair().unwrap();
        let second = switches.register(worker_end.into()).unwrap();
        second.stop(Signal::SIGINT, Duration::from_secs(2));
        switches.extend(20);
        drop((first, second));
        assert!(switches.is_empty());
        assert_eq!(text(early), "lease 10\nlease 20\n");
        assert_eq!(text(late), "lease 10\nstop SIGINT 2000\nlease 20\n");
    }

    #[test]
    fn full_socket_loses_whole_lines_without_blocking_and_closed_socket_is_forgotten() {
        let switches = DeadManSwitches::new();
        let (full, worker_end) = UnixStream::pair().unwrap();
        let full_guard = switches.register(worker_end.into()).unwrap();
        // Far more than a socket holds.
        let beats = 200_000;
        for beat in 0..beats {
            switches.extend(beat);
        }
        assert_eq!(switches.len(), 1);
        drop(full_guard);
        let kept = text(full);
        let all: String = (0..beats).map(|beat| format!("lease {beat}\n")).collect();
        assert!(kept.len() < all.len() && all.starts_with(&kept) && kept.ends_with('\n'));

        let (closed, worker_end) = UnixStream::pair().unwrap();
        let _closed_guard = switches.register(worker_end.into()).unwrap();
        drop(closed);
        switches.extend(1);
        assert!(switches.is_empty());
    }
}
