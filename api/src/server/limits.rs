//! What a connection may cost.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};

/// How many connections are open at once. Further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 4096;
/// How long the head of a request may take, from the connection or the answer before it.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// How long a client may take nothing of what is ready for it.
const STALL: Duration = Duration::from_secs(30);
/// How many bytes of a connection are buffered in each direction, and so how long a head may be.
const BUFFER_BYTES: usize = 64 * 1024;

/// What a connection may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) connections: usize,
    pub(super) head_within: Duration,
    pub(super) stall: Duration,
    pub(super) buffer_bytes: usize,
}

impl Limits {
    /// Returns the limits of this process: a quarter of its file descriptors stays for all but connections.
    pub(super) fn of_process() -> Self {
        // Without an answer the constant has to do.
        let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _hard)| soft);
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        Self {
            connections: MAX_CONNECTIONS.min(files - files / 4).max(1),
            head_within: HEAD_WITHIN,
            stall: STALL,
            buffer_bytes: BUFFER_BYTES,
        }
    }
}
