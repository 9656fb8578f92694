//! An agent's conversation, as clients see it.

use std::io::{BufRead, BufReader, Read};

use flate2::read::GzDecoder;
use makima_shared::domain::{ConversationMessage, SavedConversation};
use serde::Serialize;
use utoipa::ToSchema;

/// The most that is unpacked of a conversation, in bytes, and of one line of it.
const MAX_BYTES: u64 = 64 << 20;
const MAX_LINE_BYTES: u64 = 4 << 20;
/// The most bytes of lines that one page is made of.
const MAX_PAGE_BYTES: usize = 16 << 20;

/// A part of the conversation of a task's agent.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConversationView {
    /// The client that it was held with: `claude` or `codex`; none if nothing is saved.
    client: Option<&'static str>,
    /// What the client calls it.
    session_id: Option<String>,
    /// The messages, in order.
    messages: Vec<ConversationMessage>,
    /// What to send as `after` to go on: how many messages were passed.
    next_after: i64,
}

impl ConversationView {
    /// The view of a task whose agent has said nothing that was saved.
    pub(crate) fn empty(after: i64) -> Self {
        Self { client: None, session_id: None, messages: Vec::new(), next_after: after }
    }

    /// Reads up to `limit` messages behind the first `after`. Blocks.
    pub(crate) fn read(saved: &SavedConversation, after: i64, limit: usize) -> std::io::Result<Self> {
        let unpacked = GzDecoder::new(saved.content_gzip.as_slice()).take(MAX_BYTES);
        let mut reader = BufReader::new(unpacked);
        let (mut messages, mut passed, mut page_bytes) = (Vec::new(), 0, 0);
        let mut line = Vec::new();
        while messages.len() < limit && page_bytes < MAX_PAGE_BYTES {
            line.clear();
            if reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let text = String::from_utf8_lossy(&line);
            let Some(message) = ConversationMessage::of_line(saved.client, &text) else { continue };
            if passed >= after {
                page_bytes += line.len();
                messages.push(message);
            }
            passed += 1;
        }
        Ok(Self {
            client: Some(saved.client.as_str()),
            session_id: Some(saved.session.clone()),
            messages,
            next_after: passed.max(after),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use makima_shared::domain::AgentClient;

    use super::*;

    fn saved(text: &str) -> SavedConversation {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(text.as_bytes()).unwrap();
        SavedConversation {
            client: AgentClient::Claude,
            session: "s".to_owned(),
            path: "p".to_owned(),
            content_gzip: packer.finish().unwrap(),
            unpacked_bytes: 0,
            sha256: Vec::new(),
        }
    }

    #[test]
    fn messages_come_in_pages() {
        let line = |text: &str| format!("{{\"type\":\"user\",\"message\":{{\"content\":\"{text}\"}}}}\n");
        let text = [line("a"), "{\"type\":\"summary\"}\nnoise\n".to_owned(), line("b"), line("c")].concat();
        let saved = saved(&text);
        let page = |after, limit| {
            let view = ConversationView::read(&saved, after, limit).unwrap();
            (view.messages.len(), view.next_after)
        };
        assert_eq!(page(0, 2), (2, 2));
        assert_eq!(page(2, 2), (1, 3));
        assert_eq!(page(3, 2), (0, 3));
    }
}
