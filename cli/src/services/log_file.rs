//! The files that the servers log to: kept small enough by one rotation at each start, and quoted in errors.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::error::ServicesError;
use super::owned::open_file;

/// A log above this is moved aside, to `*.log.1`, when its server starts.
const ROTATE_ABOVE_BYTES: u64 = 10 << 20;
/// As much of the log as an error quotes.
const TAIL_LINES: usize = 12;
const TAIL_BYTES: usize = 16 << 10;

/// The log of one run of a server.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    from: u64,
}

impl LogFile {
    /// Opens the log for another run.
    pub(super) fn open(path: &Path) -> Result<Self, ServicesError> {
        if fs::symlink_metadata(path).is_ok_and(|meta| meta.len() > ROTATE_ABOVE_BYTES) {
            fs::rename(path, path.with_extension("log.1")).map_err(ServicesError::io("rotate", path))?;
        }
        let failed = || ServicesError::io("open", path);
        let file = open_file(File::options().create(true).append(true).read(true), path).map_err(failed())?;
        let from = file.metadata().map_err(failed())?.len();
        Ok(Self { path: path.to_owned(), file, from })
    }

    /// Gives a handle for the server's standard output or error.
    pub(super) fn stdio(&self) -> Result<Stdio, ServicesError> {
        self.file.try_clone().map(Stdio::from).map_err(ServicesError::io("open", &self.path))
    }

    /// The last lines of this run.
    pub(super) fn tail(&self) -> String {
        let mut text = vec![0; TAIL_BYTES];
        let length = self.file.metadata().map_or(0, |meta| meta.len());
        let start = self.from.max(length.saturating_sub(TAIL_BYTES as u64));
        let read = self.file.read_at(&mut text, start).unwrap_or(0);
        let text = String::from_utf8_lossy(&text[..read]);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}
