//! What an attempt learns from its agent's lines.

use makima_shared::domain::{AgentEvent, MessageId, Spend, TokenUsage};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::{Adapter, Gate, Limit, gate};
use crate::output::{Listener, OutputLine, Stream};

/// A line that is longer is kept as it is, and not read.
const MAX_LINE_BYTES: usize = 1024 * 1024;
/// How much of a text, and of what a tool is told, stands beside a line. The line itself has it all.
const MAX_TEXT_BYTES: usize = 8 * 1024;
/// How many events of one line are kept.
const MAX_EVENTS: usize = 32;
/// How much word of messages that were taken up may wait.
const TAKEN_UP_WAITING: usize = 256;

/// How a turn ended, by the agent's own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TurnEnd {
    pub(crate) is_error: bool,
    /// The last word, or what went wrong.
    pub(crate) text: String,
}

/// Which messages an agent has taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakenUp {
    /// This one.
    One(MessageId),
    /// All that it was started with.
    All,
}

/// Where the agent's turn stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It goes on, or has not begun.
    #[default]
    Open,
    /// It has ended well.
    Ended,
    /// It has ended with an error, or with a line that was too long to be read.
    Lost,
}

/// What is known of an agent so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// What its conversation is called.
    pub(crate) session: Option<String>,
    /// What this attempt has spent.
    pub(crate) spend: Spend,
    /// What the conversation had used before this attempt, where the client counts on from there.
    pub(crate) used_before: TokenUsage,
    /// What the turns that have ended used, and what the messages of the open one do so far: see the adapter.
    pub(crate) turns: TokenUsage,
    pub(crate) open_turn: TokenUsage,
    /// The message that was counted last, with its count. It may come in several lines.
    pub(crate) open_message: Option<(String, TokenUsage)>,
    /// The newest end of a turn.
    pub(crate) turn_end: Option<TurnEnd>,
    /// What keeps the model from being asked, if anything does.
    pub(crate) limit: Option<Limit>,
    /// The client ended because its budget is spent.
    pub(crate) over_budget: bool,
    /// What it says of whether the task is finished.
    pub(crate) gate: Option<Gate>,
    /// What the newest line tells of messages.
    pub(crate) taken_up: Option<TakenUp>,
    /// The last thing that went wrong, or that was written to standard error.
    pub(crate) complaint: Option<String>,
}

impl Heard {
    /// Counts what an attempt has used in all, by the client's own sum over the conversation.
    pub(crate) fn used_in_all(&mut self, total: TokenUsage) {
        self.spend.tokens = total.since(&self.used_before);
    }

    /// Notes what went wrong, with what it says about a limit.
    pub(crate) fn complain(&mut self, message: &str) {
        self.complaint = Some(cut(message, 1024));
    }
}

/// Reads an agent's lines as they come.
pub(crate) struct Hearing {
    adapter: &'static dyn Adapter,
    pub(crate) heard: Heard,
    /// The pieces of a long line so far; none while it is too long to be read.
    pieces: Option<String>,
    spent: watch::Sender<Spend>,
    turn: watch::Sender<Turn>,
    taken_up: Option<mpsc::Sender<TakenUp>>,
    /// Whether it is asked to say when the task is finished.
    asks_for_gate: bool,
}

impl Hearing {
    /// Starts with what the conversation had used before.
    pub(crate) fn new(adapter: &'static dyn Adapter, used_before: TokenUsage) -> Self {
        let heard = Heard { used_before, ..Heard::default() };
        let (spent, turn) = (watch::Sender::new(Spend::default()), watch::Sender::new(Turn::default()));
        Self {
            adapter,
            heard,
            pieces: Some(String::new()),
            spent,
            turn,
            taken_up: None,
            asks_for_gate: false,
        }
    }

    /// Hears as well whether the task is finished.
    pub(crate) fn with_gate(self, asks_for_gate: bool) -> Self {
        Self { asks_for_gate, ..self }
    }

    fn hear_gate(&mut self, words: &str) {
        if self.asks_for_gate {
            self.heard.gate = gate::read(words).or(self.heard.gate.take());
        }
    }

    /// Tells where the turn stands from here on.
    pub(crate) fn turn(&self) -> watch::Receiver<Turn> {
        self.turn.subscribe()
    }

    /// Tells of the messages that are taken up from here on. Word that nobody hears in time is dropped: what counts is
    /// in the conversation.
    pub(crate) fn taken_up(&mut self) -> mpsc::Receiver<TakenUp> {
        let (sink, taken_up) = mpsc::channel(TAKEN_UP_WAITING);
        self.taken_up = Some(sink);
        taken_up
    }

    /// Tells of everything that is spent from here on.
    pub(crate) fn spent(&self) -> watch::Receiver<Spend> {
        self.spent.subscribe()
    }

    fn read(&mut self, line: &str) -> Option<Vec<AgentEvent>> {
        let value = serde_json::from_str::<Value>(line.trim()).ok()?;
        let mut events = self.adapter.read(&value, &mut self.heard)?;
        if let (Some(taken_up), Some(sink)) = (self.heard.taken_up.take(), &self.taken_up) {
            let _ = sink.try_send(taken_up);
        }
        self.tell_turn(match &self.heard.turn_end {
            None => Turn::Open,
            Some(end) if end.is_error => Turn::Lost,
            Some(_) => Turn::Ended,
        });
        // A turn that has just ended well is not cut off for what it cost.
        let is_open = self.heard.turn_end.as_ref().is_none_or(|end| end.is_error);
        self.spent.send_if_modified(|spent| {
            let is_more = is_open && *spent != self.heard.spend;
            if !is_more {
                return false;
            }
            *spent = self.heard.spend;
            is_more
        });
        for event in &events {
            if let AgentEvent::Text { text } | AgentEvent::Result { text, is_error: false } = event {
                self.hear_gate(text);
            }
        }
        events.truncate(MAX_EVENTS);
        events.iter_mut().for_each(bound);
        Some(events)
    }

    fn tell_turn(&self, now: Turn) {
        self.turn.send_if_modified(|turn| std::mem::replace(turn, now) != now);
    }

    /// Puts the pieces of a line together, and reads it with the last one.
    fn take(&mut self, line: &OutputLine) -> Option<Vec<AgentEvent>> {
        if !line.partial && self.pieces.as_ref().is_some_and(String::is_empty) {
            return self.read(&line.text);
        }
        let fits = |pieces: &String| pieces.len() + line.text.len() <= MAX_LINE_BYTES;
        self.pieces = self.pieces.take().filter(fits).map(|pieces| pieces + &line.text);
        if line.partial {
            let may_be_read = self.pieces.as_ref().is_some_and(|pieces| pieces.starts_with('{'));
            return may_be_read.then(Vec::new);
        }
        let whole = self.pieces.replace(String::new());
        if whole.is_none() {
            // It may have been the end of the turn.
            self.tell_turn(Turn::Lost);
        }
        whole.and_then(|whole| self.read(&whole))
    }
}

impl Listener for Hearing {
    fn hear(&mut self, line: &mut OutputLine) {
        if !self.adapter.tells_its_end() {
            if line.stream == Stream::Stdout {
                self.hear_gate(&line.text);
            }
            return;
        }
        match line.stream {
            Stream::Stderr if !line.text.trim().is_empty() => self.heard.complain(&line.text),
            Stream::Stderr => {}
            Stream::Stdout => line.parsed = self.take(line),
        }
    }

    fn hears_to_the_end(&self) -> bool {
        self.adapter.tells_its_end() || self.asks_for_gate
    }
}

/// Cuts what an event holds to a size that is worth a second copy.
fn bound(event: &mut AgentEvent) {
    match event {
        AgentEvent::Text { text }
        | AgentEvent::Thinking { text }
        | AgentEvent::ToolResult { text, .. }
        | AgentEvent::Result { text, .. }
        | AgentEvent::Error { message: text } => shorten(text),
        AgentEvent::ToolUse { id, name, input } => {
            shorten(id);
            shorten(name);
            let written = input.to_string();
            if written.len() > MAX_TEXT_BYTES {
                *input = Value::String(cut(&written, MAX_TEXT_BYTES));
            }
        }
        AgentEvent::Session { id } => shorten(id),
        AgentEvent::Usage(_) | AgentEvent::Cost { .. } => {}
    }
    if let AgentEvent::ToolResult { id, .. } = event {
        shorten(id);
    }
}

fn shorten(text: &mut String) {
    if text.len() > MAX_TEXT_BYTES {
        *text = cut(text, MAX_TEXT_BYTES);
    }
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
}

/// Cuts a text between characters, and says so.
pub(super) fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(bytes)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::claude::Claude;

    fn piece(text: &str, partial: bool) -> OutputLine {
        OutputLine { stream: Stream::Stdout, text: text.to_owned(), partial, parsed: None }
    }

    fn said(text: &str) -> String {
        serde_json::json!({"type": "assistant", "message": {"content": [{"type": "text", "text": text}]}})
            .to_string()
    }

    #[test]
    fn a_line_in_pieces_is_read_with_its_last_one() {
        let mut hearing = Hearing::new(&Claude, TokenUsage::default());
        let line = said("hello");
        let (mut first, mut last) = (piece(&line[..20], true), piece(&line[20..], false));
        hearing.hear(&mut first);
        hearing.hear(&mut last);
        assert_eq!(first.parsed, Some(Vec::new()));
        assert_eq!(last.parsed.unwrap(), [AgentEvent::Text { text: "hello".to_owned() }]);
    }

    #[test]
    fn a_line_over_the_bound_is_left_as_it_is_and_the_next_one_is_read() {
        let mut hearing = Hearing::new(&Claude, TokenUsage::default());
        let line = said(&"x".repeat(MAX_LINE_BYTES));
        let mut last = piece("", false);
        for chunk in line.as_bytes().chunks(60_000) {
            last = piece(str::from_utf8(chunk).unwrap(), true);
            hearing.hear(&mut last);
        }
        let mut end = piece("", false);
        hearing.hear(&mut end);
        assert!(last.parsed.is_none() && end.parsed.is_none());
        let mut next = piece(&said("on"), false);
        hearing.hear(&mut next);
        assert_eq!(next.parsed.unwrap().len(), 1);
    }

    #[test]
    fn what_stands_beside_a_line_is_bounded() {
        let mut hearing = Hearing::new(&Claude, TokenUsage::default());
        let content: Vec<_> = (0..100)
            .map(|n| serde_json::json!({"type": "tool_use", "id": n.to_string(), "name": "Write", "input": {"content": "x".repeat(9000)}}))
            .collect();
        let line = serde_json::json!({"type": "assistant", "message": {"content": content}}).to_string();
        let mut line = piece(&line, false);
        hearing.hear(&mut line);
        let parsed = line.parsed.unwrap();
        assert_eq!(parsed.len(), MAX_EVENTS);
        assert!(serde_json::to_string(&parsed).unwrap().len() < MAX_EVENTS * (MAX_TEXT_BYTES + 1000));
    }

    #[test]
    fn whatever_comes_does_no_harm() {
        let mut hearing = Hearing::new(&Claude, TokenUsage::default());
        for text in [
            "",
            "{",
            "{}",
            "[1]",
            "null",
            "{\"type\":5}",
            "{\"type\":\"assistant\"}",
            "plain words",
            "{\"type\":\"result\",\"usage\":[]}",
        ] {
            hearing.hear(&mut piece(text, false));
        }
        let nested = "[".repeat(100_000);
        hearing.hear(&mut piece(&format!("{{\"type\":{nested}"), false));
    }
}
