//! The event stream of a task, taken apart. It reads what makima's API sends, not everything that the standard allows.

use anyhow::Context;
use makima_shared::domain::{TaskEvent, TaskStatus};
use serde::Deserialize;

/// What a stream brings.
#[derive(Debug)]
pub(super) enum Incoming {
    /// An entry of the task's history.
    Event(TaskEvent),
    /// The task is over, and everything was sent.
    End(TaskStatus),
}

#[derive(Deserialize)]
struct End {
    status: TaskStatus,
}

/// Takes bytes as they come, cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Parser {
    unread: Vec<u8>,
}

impl Parser {
    /// Takes more bytes and returns what they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<Incoming>> {
        self.unread.extend_from_slice(bytes);
        let mut incoming = Vec::new();
        while let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
            let frame: Vec<u8> = self.unread.drain(..end + 2).collect();
            incoming.extend(read(&String::from_utf8_lossy(&frame))?);
        }
        Ok(incoming)
    }
}

/// Reads one frame; `None` if it is a comment.
fn read(frame: &str) -> anyhow::Result<Option<Incoming>> {
    let field = |name: &str| {
        frame.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim_start))
    };
    let Some(data) = field("data") else { return Ok(None) };
    let incoming = if field("event") == Some("end") {
        serde_json::from_str(data).map(|End { status }| Incoming::End(status))
    } else {
        serde_json::from_str(data).map(Incoming::Event)
    };
    incoming.map(Some).context("an event of the stream cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": keep alive\n\nid: 1\nevent: status\n\
        data: {\"sequence\":1,\"epoch\":0,\"kind\":\"status\",\"data\":{\"to\":\"queued\"},\"createdAt\":\"2026-01-01T00:00:00Z\"}\n\n\
        event: end\ndata: {\"status\":\"done\"}\n\n";

    #[test]
    fn events_come_out_whole_however_the_bytes_are_cut() {
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            let incoming: Vec<_> =
                STREAM.as_bytes().chunks(size).flat_map(|bytes| parser.push(bytes).unwrap()).collect();
            assert!(
                matches!(&incoming[..], [Incoming::Event(event), Incoming::End(TaskStatus::Done)] if event.sequence == 1),
                "in pieces of {size}: {incoming:?}"
            );
        }
    }

    #[test]
    fn what_is_no_event_is_an_error() {
        assert!(Parser::default().push(b"data: nonsense\n\n").is_err());
    }
}
