//! The completion gate: how an agent says whether its task is finished.

use serde::Deserialize;

use super::heard::cut;

/// What a line begins with that says so.
const MARK: &str = "COMPLETION_GATE:";
/// How much of a reason is kept, in bytes.
const MAX_REASON_BYTES: usize = 2048;

/// What an agent is told of it. It is no valid line itself: whoever repeats it has said nothing.
pub(super) const WORDS: &str = "\n\nYou work on this in rounds. At the end of your turn, write whether the task is finished as \
                                a line of its own:\nCOMPLETION_GATE: {\"ready\": true|false, \"reason\": \"...\"}\nUnless you \
                                are ready you are started again.";

/// What an agent says of whether its task is finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    pub(crate) is_ready: bool,
    pub(crate) reason: String,
}

#[derive(Deserialize)]
struct Written {
    ready: bool,
    #[serde(default)]
    reason: Option<String>,
}

/// Reads the last line of a text that says so; none if no line does.
pub(super) fn read(text: &str) -> Option<Gate> {
    text.lines().rev().find_map(|line| {
        let (_before, rest) = line.split_once(MARK)?;
        // What stands behind it, the end of some markup, is nobody's affair.
        let written = serde_json::Deserializer::from_str(rest).into_iter::<Written>().next()?.ok()?;
        let reason = cut(written.reason.unwrap_or_default().trim(), MAX_REASON_BYTES);
        Some(Gate { is_ready: written.ready, reason })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_says_so_counts() {
        let gate = |is_ready, reason: &str| Some(Gate { is_ready, reason: reason.to_owned() });
        let said = "Well.\nCOMPLETION_GATE: {\"ready\": false, \"reason\": \"tests fail\"}\nMore.";
        assert_eq!(read(said), gate(false, "tests fail"));
        assert_eq!(read(&format!("{said}\n**COMPLETION_GATE:{{\"ready\":true}}** ok")), gate(true, ""));
        for other in
            ["", "COMPLETION_GATE:", "COMPLETION_GATE: yes", "COMPLETION_GATE: {\"ready\": 1}", WORDS]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
