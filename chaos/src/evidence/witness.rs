//! What the agents noted themselves, in the order of time, out of reach of checkpoints.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;
use chrono::{DateTime, Utc};
use makima_shared::domain::TaskId;

/// What an agent notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    /// It begins; the number is how many lines it found.
    Start,
    /// It wrote the line of this number.
    Write,
    /// It ends well.
    End,
}

/// One note.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Note {
    pub(crate) noted: Noted,
    pub(crate) epoch: i64,
    pub(crate) number: u32,
    pub(crate) at: DateTime<Utc>,
}

/// All notes of all tasks.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    pub(crate) notes: HashMap<TaskId, Vec<Note>>,
}

impl Witness {
    /// Reads the directory in which the agents noted.
    pub(crate) fn read(directory: &Path) -> anyhow::Result<Self> {
        let booted_ms = Utc::now().timestamp_millis() - uptime_ms()?;
        let mut notes = HashMap::new();
        for entry in std::fs::read_dir(directory)?.flatten() {
            let Ok(task) = entry.file_name().to_string_lossy().parse::<TaskId>() else { continue };
            let text = std::fs::read_to_string(entry.path())?;
            notes.insert(task, text.lines().filter_map(|line| parse(line, booted_ms)).collect());
        }
        Ok(Self { notes })
    }

    /// Returns the notes of a task.
    pub(crate) fn of(&self, task: TaskId) -> &[Note] {
        self.notes.get(&task).map_or(&[], Vec::as_slice)
    }
}

/// Reads `<what> <epoch> <number> <seconds since the start of the machine>`.
fn parse(line: &str, booted_ms: i64) -> Option<Note> {
    let mut words = line.split(' ');
    let noted = match words.next()? {
        "start" => Noted::Start,
        "write" => Noted::Write,
        "end" => Noted::End,
        _ => return None,
    };
    let (epoch, number) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let at = DateTime::from_timestamp_millis(booted_ms + seconds_to_ms(words.next()?)?)?;
    Some(Note { noted, epoch, number, at })
}

fn uptime_ms() -> anyhow::Result<i64> {
    let text = std::fs::read_to_string("/proc/uptime")?;
    text.split(' ').next().and_then(seconds_to_ms).context("/proc/uptime cannot be read")
}

/// Reads seconds with two places behind the point.
fn seconds_to_ms(text: &str) -> Option<i64> {
    let (seconds, hundredths) = text.trim().split_once('.')?;
    Some(seconds.parse::<i64>().ok()? * 1000 + hundredths.parse::<i64>().ok()? * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_back() {
        let note = parse("write 2 17 100.25", 1_000_000).unwrap();
        assert_eq!((note.noted, note.epoch, note.number), (Noted::Write, 2, 17));
        assert_eq!(note.at.timestamp_millis(), 1_100_250);
        assert_eq!(parse("write 2 17", 0), None);
    }
}
