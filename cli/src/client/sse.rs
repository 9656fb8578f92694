//! Server-sent events, taken apart as the HTML standard says (section 9.2.6), with `\n` or `\r\n` as line ends.

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    /// Its `id` field.
    pub(super) id: Option<String>,
    /// Its `event` field.
    pub(super) event: Option<String>,
    /// Its `data` fields, joined by line ends.
    pub(super) data: String,
}

/// Takes bytes as they come, cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    frame: Frame,
    has_data: bool,
}

impl Parser {
    /// Takes more bytes and returns the events that they complete. Bytes of an event without its empty line at the end
    /// are kept; dropping the parser drops them, as the standard wants it for a stream that breaks off.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                frames.extend(self.take_line(&line));
            } else {
                self.line.push(*byte);
            }
        }
        frames
    }

    fn take_line(&mut self, line: &[u8]) -> Option<Frame> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            let frame = std::mem::take(&mut self.frame);
            return std::mem::take(&mut self.has_data).then_some(frame);
        }
        let text = String::from_utf8_lossy(line);
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.frame.id = Some(value.to_owned()),
            "event" => self.frame.event = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.frame.data.push('\n');
                }
                self.frame.data.push_str(value);
                self.has_data = true;
            }
            // A comment has no name; of other fields the standard says that they are ignored.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: &str, event: &str, data: &str) -> Frame {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Frame { id: some(id), event: some(event), data: data.to_owned() }
    }

    const STREAM: &str =
        ": hello\n\nid: 1\nevent: output\ndata: {\"a\":\ndata: 1}\n\nid:2\r\ndata:é\r\n\r\n:\n\nid: 3\n\n";

    #[test]
    fn events_come_out_whole_however_the_bytes_are_cut() {
        let expected = [frame("1", "output", "{\"a\":\n1}"), frame("2", "", "é")];
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            let frames: Vec<_> =
                STREAM.as_bytes().chunks(size).flat_map(|chunk| parser.push(chunk)).collect();
            assert_eq!(frames, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_its_end_is_not_given_out() {
        assert_eq!(Parser::default().push(b"id: 1\ndata: half\n"), []);
    }
}
