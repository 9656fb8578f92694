//! Lines out of bytes: text that PostgreSQL can hold, in pieces of bounded size.

use std::io;

use makima_shared::domain::AgentEvent;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The longest text that goes in one piece; longer lines come in several.
pub const MAX_PIECE_BYTES: usize = 64 * 1024;

/// How much room a read gets at least.
const READ_BYTES: usize = 16 * 1024;

/// Which pipe a line came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// The agent's stdout.
    Stdout,
    /// The agent's stderr.
    Stderr,
}

/// One line, or a piece of one.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputLine {
    /// Where it came from.
    pub stream: Stream,
    /// The text without its newline and otherwise as written, a carriage return included. Invalid UTF-8 and NUL became
    /// U+FFFD.
    pub text: String,
    /// Whether the line goes on in the stream's next piece.
    pub partial: bool,
    /// What the line says, where it was understood: with its last piece. Nothing stands with the pieces before.
    pub parsed: Option<Vec<AgentEvent>>,
}

/// Splits a stream into lines of at most [`MAX_PIECE_BYTES`] raw bytes.
#[derive(Debug)]
pub struct LineReader<R> {
    stream: Stream,
    inner: R,
    buffer: Vec<u8>,
    /// Where what was not yet taken begins in the buffer.
    start: usize,
    /// Up to where the buffer is known to hold no newline.
    searched: usize,
    is_at_end: bool,
    taken_bytes: u64,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Wraps a stream.
    pub fn new(stream: Stream, inner: R) -> Self {
        let buffer = Vec::with_capacity(READ_BYTES);
        Self { stream, inner, buffer, start: 0, searched: 0, is_at_end: false, taken_bytes: 0 }
    }

    /// Counts the stream's bytes, newlines included, that the lines so far stand for.
    pub fn taken_bytes(&self) -> u64 {
        self.taken_bytes
    }

    /// Returns the next line or piece, `None` at the end. A last line without newline counts. Loses nothing if dropped
    /// while it waits.
    pub async fn next(&mut self) -> io::Result<Option<OutputLine>> {
        loop {
            if let Some(line) = self.pop() {
                return Ok(Some(line));
            }
            if self.is_at_end || !self.fill().await? {
                return Ok(self.pop());
            }
        }
    }

    /// Passes over what is there next without looking at it; returns how many bytes, `None` at the end.
    pub async fn skip(&mut self) -> io::Result<Option<u64>> {
        if self.start == self.buffer.len() && !self.fill().await? {
            return Ok(None);
        }
        let bytes = (self.buffer.len() - self.start) as u64;
        (self.start, self.searched) = (self.buffer.len(), self.buffer.len());
        Ok(Some(bytes))
    }

    async fn fill(&mut self) -> io::Result<bool> {
        if self.start > 0 && self.buffer.capacity() - self.buffer.len() < READ_BYTES {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        self.buffer.reserve(READ_BYTES);
        self.is_at_end = self.inner.read_buf(&mut self.buffer).await? == 0;
        Ok(!self.is_at_end)
    }

    fn pop(&mut self) -> Option<OutputLine> {
        // One byte past the longest piece: a line that fits exactly is whole if its newline stands there.
        let window_end = self.buffer.len().min(self.start + MAX_PIECE_BYTES + 1);
        let searched = self.searched.max(self.start);
        let newline = self.buffer[searched..window_end].iter().position(|byte| *byte == b'\n');
        if let Some(newline) = newline {
            let length = searched + newline - self.start;
            return Some(self.take(length, 1, false));
        }
        self.searched = window_end;
        let rest = &self.buffer[self.start..];
        if rest.len() > MAX_PIECE_BYTES {
            let length = character_boundary(&rest[..MAX_PIECE_BYTES]);
            Some(self.take(length, 0, true))
        } else if self.is_at_end && !rest.is_empty() {
            let length = rest.len();
            Some(self.take(length, 0, false))
        } else {
            None
        }
    }

    fn take(&mut self, length: usize, newline: usize, partial: bool) -> OutputLine {
        let text = String::from_utf8_lossy(&self.buffer[self.start..self.start + length]);
        let text = if text.contains('\0') { text.replace('\0', "\u{FFFD}") } else { text.into_owned() };
        self.start += length + newline;
        self.searched = self.searched.max(self.start);
        self.taken_bytes += (length + newline) as u64;
        if self.start == self.buffer.len() {
            self.buffer.clear();
            (self.start, self.searched) = (0, 0);
        }
        OutputLine { stream: self.stream, text, partial, parsed: None }
    }
}

/// Finds where to cut so that no sequence of bytes that may still become one character is torn apart.
fn character_boundary(bytes: &[u8]) -> usize {
    let tail = (1..=3).map(|back| bytes.len() - back).find(|at| !is_continuation(bytes[*at]));
    tail.filter(|at| str::from_utf8(&bytes[*at..]).is_err_and(|error| error.error_len().is_none()))
        .unwrap_or(bytes.len())
}

fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}
