//! The agent's environment on its way: one line of JSON, which the shim passes on and only the second stage unpacks.
//!
//! **Invariant**: no process of the host runs under any of it. It is the client's choice, and variables such as
//! `LD_PRELOAD` make a program run other code than its own.

use std::collections::BTreeMap;
use std::io;

/// How long the line may be. Linux takes less than this from any `exec` with the usual limit of the stack.
pub(crate) const MAX_LINE_BYTES: usize = 4 << 20;

/// Writes the line, with its end; `None` if it is too long.
pub(crate) fn to_line(environment: &BTreeMap<String, String>) -> io::Result<Option<Vec<u8>>> {
    let mut line = serde_json::to_vec(environment)?;
    line.push(b'\n');
    Ok((line.len() <= MAX_LINE_BYTES).then_some(line))
}

/// Reads the line.
pub(super) fn from_line(line: &[u8]) -> io::Result<BTreeMap<String, String>> {
    Ok(serde_json::from_slice(line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_survives_on_one_line() {
        let values = ["", "two\nlines\n", "\"quoted\" \\ 'too'", "тест 🦀", "\u{1}\u{7f}\t", "a=b=c"];
        let environment: BTreeMap<_, _> =
            values.iter().enumerate().map(|(at, value)| (format!("V{at}"), (*value).to_owned())).collect();
        let line = to_line(&environment).unwrap().unwrap();
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
        assert_eq!(from_line(&line).unwrap(), environment);
    }

    #[test]
    fn too_long_a_line_is_not_written() {
        let of_length = |length: usize| BTreeMap::from([("V".to_owned(), "x".repeat(length))]);
        let frame = to_line(&of_length(0)).unwrap().unwrap().len();
        assert!(to_line(&of_length(MAX_LINE_BYTES - frame)).unwrap().is_some());
        assert!(to_line(&of_length(MAX_LINE_BYTES - frame + 1)).unwrap().is_none());
    }
}
