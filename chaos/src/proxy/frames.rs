//! Messages of PostgreSQL's protocol out of a stream of bytes.
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>

/// How much of a message is looked at: more than any statement's text has.
const KEPT_BYTES: usize = 16 * 1024;
/// The length that stands in a message counts itself.
const LENGTH_BYTES: usize = 4;

/// One message, its content cut where it is long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The message's type; 0 for the first one of a client, which has none.
    pub(super) kind: u8,
    pub(super) content: Vec<u8>,
}

/// Cuts one direction of a connection into messages.
#[derive(Debug)]
pub(super) struct Frames {
    has_kind: bool,
    header: Vec<u8>,
    content: Vec<u8>,
    left: usize,
}

impl Frames {
    /// What a client sends: its first message has no type.
    pub(super) fn of_client() -> Self {
        Self { has_kind: false, ..Self::of_server() }
    }

    /// What the server sends.
    pub(super) fn of_server() -> Self {
        Self { has_kind: true, header: Vec::new(), content: Vec::new(), left: 0 }
    }

    /// Takes the next bytes and returns the messages that end in them.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let header_bytes = usize::from(self.has_kind) + LENGTH_BYTES;
            if self.header.len() < header_bytes {
                self.header.push(bytes[0]);
                bytes = &bytes[1..];
                if self.header.len() < header_bytes {
                    continue;
                }
                self.left = self.length().saturating_sub(LENGTH_BYTES);
            }
            let (now, later) = bytes.split_at(self.left.min(bytes.len()));
            let room = KEPT_BYTES.saturating_sub(self.content.len());
            self.content.extend_from_slice(&now[..now.len().min(room)]);
            self.left -= now.len();
            bytes = later;
            if self.left == 0 {
                let kind = if self.has_kind { self.header[0] } else { 0 };
                frames.push(Frame { kind, content: std::mem::take(&mut self.content) });
                self.header.clear();
                self.has_kind = true;
            }
        }
        frames
    }

    fn length(&self) -> usize {
        self.header[usize::from(self.has_kind)..].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len() + LENGTH_BYTES).unwrap().to_be_bytes();
        [&[kind][..], &length, content].concat()
    }

    #[test]
    fn messages_are_found_however_the_bytes_are_cut() {
        let stream =
            [message(0, b"user\0me\0")[1..].to_vec(), message(b'Q', b"BEGIN\0"), message(b'S', b"")].concat();
        for size in 1..=stream.len() {
            let mut frames = Frames::of_client();
            let found: Vec<_> = stream.chunks(size).flat_map(|chunk| frames.take(chunk)).collect();
            let kinds: Vec<_> = found.iter().map(|frame| frame.kind).collect();
            assert_eq!(kinds, [0, b'Q', b'S'], "in pieces of {size}");
            assert_eq!(found[1].content, b"BEGIN\0");
        }
    }

    #[test]
    fn a_long_message_is_passed_over_whole() {
        let stream = [message(b'B', &vec![7; 100_000]), message(b'E', b"x")].concat();
        let mut frames = Frames::of_server();
        let found: Vec<_> = stream.chunks(4096).flat_map(|chunk| frames.take(chunk)).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].content.len(), found[1].kind), (KEPT_BYTES, b'E'));
    }
}
