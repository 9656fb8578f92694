//! The content of a file, before or after a patch: in memory if it is small, and in a file without a name if it is not.

use std::fs::File;
use std::io::{Result, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Up to this size a content is held in memory.
pub(super) const MEMORY_BYTES: usize = 4 << 20;
/// How much of a file is looked at at a time.
const WINDOW_BYTES: usize = 64 << 10;

/// A content that can be read from any place on.
pub(super) struct Content {
    held: Held,
    length: u64,
}

enum Held {
    Memory(Vec<u8>),
    File { file: File, window: Vec<u8>, begin: u64 },
}

impl Content {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Tells whether it is held in memory.
    pub(super) fn is_small(&self) -> bool {
        matches!(self.held, Held::Memory(_))
    }

    /// Returns what stands from `offset` on, as much as is at hand; nothing at the end alone.
    pub(super) fn piece(&mut self, offset: u64) -> Result<&[u8]> {
        match &mut self.held {
            Held::Memory(bytes) => {
                Ok(&bytes[usize::try_from(offset).map_or(bytes.len(), |at| at.min(bytes.len()))..])
            }
            Held::File { file, window, begin } => {
                if offset < *begin || offset >= *begin + window.len() as u64 {
                    window.resize(WINDOW_BYTES, 0);
                    let read = file.read_at(window, offset)?;
                    window.truncate(read);
                    *begin = offset;
                }
                let at = usize::try_from(offset - *begin).unwrap_or(usize::MAX);
                Ok(window.get(at..).unwrap_or_default())
            }
        }
    }

    /// Copies all of it.
    pub(super) fn copy_to(&mut self, sink: &mut dyn Write) -> Result<()> {
        let mut at = 0;
        loop {
            let piece = self.piece(at)?;
            if piece.is_empty() {
                return Ok(());
            }
            sink.write_all(piece)?;
            at += piece.len() as u64;
        }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self { length: bytes.len() as u64, held: Held::Memory(bytes) }
    }
}

/// A content in the making.
pub(super) struct Spool {
    directory: PathBuf,
    memory: Vec<u8>,
    file: Option<File>,
    length: u64,
}

impl Spool {
    /// Begins one that makes its file, if it needs one, in `directory`.
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), memory: Vec::new(), file: None, length: 0 }
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn finish(mut self) -> Result<Content> {
        let Some(mut file) = self.file.take() else { return Ok(self.memory.into()) };
        file.write_all(&self.memory)?;
        Ok(Content { length: self.length, held: Held::File { file, window: Vec::new(), begin: 0 } })
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.memory.len() + bytes.len() > MEMORY_BYTES {
            if self.file.is_none() {
                self.file = Some(tempfile::tempfile_in(&self.directory)?);
            }
            if let Some(file) = &mut self.file {
                file.write_all(&self.memory)?;
                file.write_all(bytes)?;
            }
            self.memory.clear();
        } else {
            self.memory.extend_from_slice(bytes);
        }
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
