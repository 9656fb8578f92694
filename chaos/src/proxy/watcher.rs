//! Reads along on one connection to PostgreSQL: which statements write, and what becomes of them.

use std::collections::HashMap;

use super::frames::{Frame, Frames};
use super::statement::Statement;

/// More names than a client keeps statements; past it they are learnt anew.
const MAX_STATEMENTS: usize = 2_000;

/// What the watcher knows of one connection.
#[derive(Debug)]
pub(super) struct Watcher {
    requests: Frames,
    answers: Frames,
    prepared: HashMap<Vec<u8>, Statement>,
    /// What the last `Bind` was for.
    bound: Option<Statement>,
    /// What was sent for execution and has no answer yet.
    executing: Option<Statement>,
    is_losing: bool,
}

/// What an answer tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// How many fenced writes changed no row.
    pub(super) refused: u64,
    /// It is not to reach the client.
    pub(super) is_lost: bool,
    /// The lost answer is complete.
    pub(super) ends_connection: bool,
}

impl Default for Watcher {
    fn default() -> Self {
        Self {
            requests: Frames::of_client(),
            answers: Frames::of_server(),
            prepared: HashMap::new(),
            bound: None,
            executing: None,
            is_losing: false,
        }
    }
}

impl Watcher {
    /// Takes what the client sends; names the write in it, if there is one.
    pub(super) fn sent(&mut self, bytes: &[u8]) -> Option<String> {
        let mut write = None;
        for frame in self.requests.take(bytes) {
            if let Some(statement) = self.execution(&frame) {
                write = statement.writes.then(|| statement.label.clone()).or(write);
                self.executing = Some(statement);
            }
        }
        write
    }

    /// Returns the statement that a message has carried out, if it does that.
    fn execution(&mut self, frame: &Frame) -> Option<Statement> {
        let mut parts = frame.content.split(|byte| *byte == 0);
        let mut part = || parts.next().unwrap_or_default();
        match frame.kind {
            b'P' => {
                let (name, sql) = (part().to_vec(), part());
                if self.prepared.len() >= MAX_STATEMENTS {
                    self.prepared.clear();
                }
                self.prepared.insert(name, Statement::of(&String::from_utf8_lossy(sql)));
                None
            }
            b'B' => {
                let _portal = part();
                self.bound = self.prepared.get(part()).cloned();
                None
            }
            b'E' => self.bound.clone(),
            b'Q' => Some(Statement::of(&String::from_utf8_lossy(part()))),
            _ => None,
        }
    }

    /// Loses the answer to what was sent last, and the connection with it.
    pub(super) fn lose_answer(&mut self) {
        self.is_losing = true;
    }

    /// Takes what the server answers.
    pub(super) fn answered(&mut self, bytes: &[u8]) -> Answer {
        let mut answer = Answer { is_lost: self.is_losing, ..Answer::default() };
        for frame in self.answers.take(bytes) {
            match frame.kind {
                b'C' => {
                    let statement = self.executing.take();
                    let is_empty = frame.content.strip_suffix(b"\0").is_some_and(|tag| tag.ends_with(b" 0"));
                    if is_empty && statement.is_some_and(|statement| statement.is_fenced) {
                        answer.refused += 1;
                    }
                }
                // Ready for the next one: whatever was sent is answered, and committed if it was to be.
                b'Z' => answer.ends_connection |= self.is_losing,
                _ => {}
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len() + 4).unwrap().to_be_bytes();
        [&[kind][..], &length, content].concat()
    }

    fn watcher() -> Watcher {
        let mut watcher = Watcher::default();
        assert_eq!(watcher.sent(&message(0, b"user\0me\0")[1..]), None);
        let prepare = message(b'P', b"s1\0UPDATE tasks SET a = 1 WHERE epoch = $1\0\0\0");
        assert_eq!(watcher.sent(&prepare), None);
        watcher
    }

    fn execute() -> Vec<u8> {
        [message(b'B', b"\0s1\0\0\0"), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat()
    }

    #[test]
    fn a_fenced_write_that_changes_nothing_is_counted_as_refused() {
        let mut watcher = watcher();
        assert_eq!(watcher.sent(&execute()).as_deref(), Some("UPDATE tasks SET a = 1 WHERE epoch = $1"));
        assert_eq!(watcher.answered(&message(b'C', b"UPDATE 0\0")).refused, 1);
        watcher.sent(&execute());
        assert_eq!(watcher.answered(&message(b'C', b"UPDATE 10\0")).refused, 0);
    }

    #[test]
    fn a_lost_answer_ends_its_connection_once_the_server_is_through_with_it() {
        let mut watcher = watcher();
        watcher.sent(&execute());
        watcher.lose_answer();
        let half = watcher.answered(&message(b'C', b"UPDATE 1\0"));
        assert!(half.is_lost && !half.ends_connection);
        assert!(watcher.answered(&message(b'Z', b"I")).ends_connection);
    }
}
