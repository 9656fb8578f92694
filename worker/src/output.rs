//! An agent's stdout and stderr, from pipes to batches of lines.
//!
//! ```text
//! stdout ─▶ LineReader ─┐
//!                       ├─▶ Batcher ─▶ bounded channel ─▶ the store, whoever listens
//! stderr ─▶ LineReader ─┘
//! ```
//!
//! A full channel stops the reading, so that a slow store slows the agent down instead of filling the worker's memory.
//! Memory is bounded by one batch, one piece per stream and the channel. Past the attempt's byte limit, and when nobody
//! receives any more, the pipes are still drained: the agent never blocks for good.
//!
//! **Invariant**: every byte that the agent wrote is either in a delivered line or counted as dropped.
//!
//! Left out on purpose: sequence numbers and times (the store's), the order between the two streams beyond that of
//! arrival, which pipes do not keep.

mod batch;
mod line;

use std::io;

use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use batch::Batcher;
pub use batch::{BATCH_AGE, BATCH_BYTES, BATCH_LINES, Batch, Truncated};
pub use line::{LineReader, MAX_PIECE_BYTES, OutputLine, Stream};

/// What a [`pump`] did in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PumpReport {
    /// Lines and pieces of lines that were delivered.
    pub lines: u64,
    /// Bytes of the agent's output in them, newlines included.
    pub kept_bytes: u64,
    /// Bytes that were read and not delivered.
    pub dropped_bytes: u64,
}

/// Reads both streams to their ends and sends what they say in batches.
///
/// `limit_bytes` is what may be kept in all. The first line that does not fit is dropped with everything after it: the
/// batch that ends there says so in [`Batch::truncated`], and a last batch brings the final count. A read error ends its
/// stream. When the receiver is gone, the rest counts as dropped.
pub async fn pump(
    stdout: impl AsyncRead + Unpin,
    stderr: impl AsyncRead + Unpin,
    limit_bytes: u64,
    tx: mpsc::Sender<Batch>,
) -> PumpReport {
    pump_heard(stdout, stderr, limit_bytes, &mut Deaf, tx).await
}

/// Looks at each line before it goes on its way.
pub trait Listener: Send {
    /// Reads a line, and may put beside it what it says.
    fn hear(&mut self, line: &mut OutputLine);

    /// Tells whether it is to hear the lines of standard output too that are over the limit and not kept.
    fn hears_to_the_end(&self) -> bool;
}

/// Nobody listens.
struct Deaf;

impl Listener for Deaf {
    fn hear(&mut self, _line: &mut OutputLine) {}

    fn hears_to_the_end(&self) -> bool {
        false
    }
}

/// Does what [`pump`] does, with somebody who listens.
pub async fn pump_heard(
    stdout: impl AsyncRead + Unpin,
    stderr: impl AsyncRead + Unpin,
    limit_bytes: u64,
    listener: &mut dyn Listener,
    tx: mpsc::Sender<Batch>,
) -> PumpReport {
    let mut out = Source::new(Stream::Stdout, stdout);
    let mut err = Source::new(Stream::Stderr, stderr);
    let mut sink = Sink { batcher: Batcher::default(), limit_bytes, report: PumpReport::default(), tx };
    while !(sink.is_cut() || out.is_done && err.is_done) {
        tokio::select! {
            line = out.next(), if !out.is_done => sink.take(heard(line, listener)).await,
            line = err.next(), if !err.is_done => sink.take(heard(line, listener)).await,
            () = sleep_until(sink.batcher.due()), if !sink.batcher.is_empty() => sink.flush(None).await,
        }
    }
    if sink.is_cut() {
        let mut deaf = Deaf;
        let (out_bytes, err_bytes) = tokio::join!(out.drain(listener), err.drain(&mut deaf));
        sink.report.dropped_bytes += out_bytes + err_bytes;
    }
    sink.finish().await
}

struct Source<R> {
    stream: Stream,
    reader: LineReader<R>,
    is_done: bool,
}

/// A line and how many bytes of the stream it stands for; `None` at the stream's end.
type Taken = Option<(OutputLine, u64)>;

impl<R: AsyncRead + Unpin> Source<R> {
    fn new(stream: Stream, inner: R) -> Self {
        Self { stream, reader: LineReader::new(stream, inner), is_done: false }
    }

    async fn next(&mut self) -> Taken {
        let before = self.reader.taken_bytes();
        let line = ended_by_error(self.stream, self.reader.next().await);
        self.is_done = line.is_none();
        line.map(|line| (line, self.reader.taken_bytes() - before))
    }

    async fn drain(&mut self, listener: &mut dyn Listener) -> u64 {
        let mut bytes = 0;
        while !self.is_done && listener.hears_to_the_end() {
            let line = self.next().await;
            bytes += heard(line, listener).map_or(0, |(_line, bytes)| bytes);
        }
        while !self.is_done {
            match ended_by_error(self.stream, self.reader.skip().await) {
                Some(skipped) => bytes += skipped,
                None => self.is_done = true,
            }
        }
        bytes
    }
}

fn heard(mut taken: Taken, listener: &mut dyn Listener) -> Taken {
    if let Some((line, _bytes)) = &mut taken {
        listener.hear(line);
    }
    taken
}

fn ended_by_error<T>(stream: Stream, read: io::Result<Option<T>>) -> Option<T> {
    read.unwrap_or_else(|error| {
        tracing::warn!(?stream, %error, "an agent's output cannot be read further");
        None
    })
}

struct Sink {
    batcher: Batcher,
    limit_bytes: u64,
    report: PumpReport,
    tx: mpsc::Sender<Batch>,
}

impl Sink {
    fn is_cut(&self) -> bool {
        self.report.dropped_bytes > 0
    }

    async fn take(&mut self, taken: Taken) {
        let Some((line, bytes)) = taken else { return };
        if self.report.kept_bytes + bytes > self.limit_bytes {
            self.report.dropped_bytes += bytes;
            self.flush(Some(Truncated { dropped_bytes: bytes })).await;
            return;
        }
        self.report.lines += 1;
        self.report.kept_bytes += bytes;
        if self.batcher.push(line, bytes) {
            self.flush(None).await;
        }
    }

    async fn flush(&mut self, truncated: Option<Truncated>) {
        let (batch, bytes) = self.batcher.take(truncated);
        if batch.lines.is_empty() && batch.truncated.is_none() {
            return;
        }
        if let Err(refused) = self.tx.send(batch).await {
            self.report.lines -= refused.0.lines.len() as u64;
            self.report.kept_bytes -= bytes;
            self.report.dropped_bytes += bytes;
        }
    }

    async fn finish(mut self) -> PumpReport {
        let dropped_bytes = self.report.dropped_bytes;
        self.flush((dropped_bytes > 0).then_some(Truncated { dropped_bytes })).await;
        self.report
    }
}

#[cfg(test)]
mod tests;
