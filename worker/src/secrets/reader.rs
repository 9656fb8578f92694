//! A stream without the secrets in it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::Secrets;

/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;
/// How much of a line is held back until its end is seen. Longer ones go on their way in pieces.
const HELD_BYTES: usize = 64 * 1024;

/// Puts names in the place of secrets, wherever the stream is cut. A line is passed on once its end is there, as whoever
/// reads lines would wait for it anyway; of an endless one no more is held than a piece and the longest secret.
#[derive(Debug)]
pub struct ScrubbedReader<R> {
    secrets: Secrets,
    inner: R,
    /// Read and not scrubbed yet; holds no line's end.
    pending: Vec<u8>,
    /// Scrubbed; the first `given` bytes are passed on.
    scrubbed: Vec<u8>,
    given: usize,
    is_at_end: bool,
}

impl<R> ScrubbedReader<R> {
    pub(super) fn new(secrets: Secrets, inner: R) -> Self {
        Self { secrets, inner, pending: Vec::new(), scrubbed: Vec::new(), given: 0, is_at_end: false }
    }

    /// Scrubs what nothing more can change.
    fn take(&mut self, piece: &[u8]) {
        let newline = piece.iter().rposition(|byte| *byte == b'\n');
        let settled = newline.map(|newline| self.pending.len() + newline + 1);
        self.pending.extend_from_slice(piece);
        let length = self.pending.len();
        let limit = match settled {
            _ if self.is_at_end => length,
            Some(settled) => settled,
            // What begins before that has its end here, however long it is.
            None if length > HELD_BYTES + self.secrets.longest() => {
                length + 1 - self.secrets.longest().max(1)
            }
            None => return,
        };
        let done = self.secrets.scrub_up_to(&self.pending, limit, &mut self.scrubbed);
        self.pending.drain(..done);
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for ScrubbedReader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.secrets.is_empty() {
            return Pin::new(&mut this.inner).poll_read(context, into);
        }
        loop {
            let waiting = &this.scrubbed[this.given..];
            if !waiting.is_empty() || this.is_at_end {
                let count = waiting.len().min(into.remaining());
                into.put_slice(&waiting[..count]);
                this.given += count;
                return Poll::Ready(Ok(()));
            }
            this.scrubbed.clear();
            this.given = 0;
            let mut room = [0; READ_BYTES];
            let mut piece = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut this.inner).poll_read(context, &mut piece))?;
            this.is_at_end = piece.filled().is_empty();
            this.take(piece.filled());
        }
    }
}
