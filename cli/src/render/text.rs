//! Text of others, made harmless for a terminal.

use std::borrow::Cow;
use std::fmt::Write;

use makima_shared::domain::is_hidden;
use serde::Serialize;

/// Returns text without escape sequences and hidden characters, tabs and line ends excepted.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_steering) {
        return Cow::Borrowed(text);
    }
    let stripped = console::strip_ansi_codes(text);
    let seen = stripped.chars().map(|c| if is_separator(c) { ' ' } else { c });
    seen.filter(|c| !is_steering(*c)).collect::<String>().into()
}

/// Returns text as one line, without hidden characters at all.
pub(crate) fn one_line(text: &str) -> String {
    plain(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns indented JSON, with the hidden characters of its strings as escapes: the same JSON, whatever it is written to.
pub(crate) fn json(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string_pretty(value).map(escaped)
}

/// Returns JSON in one line, as [`json`] does.
pub(crate) fn json_line(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(value).map(escaped)
}

/// Outside its strings, JSON has no hidden characters but line ends.
fn escaped(json: String) -> String {
    let hidden = |c: char| is_hidden(c) && c != '\n';
    if !json.chars().any(hidden) {
        return json;
    }
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// The joiners shape letters (Persian, Hindi) and pictures, and steer nothing.
fn is_steering(c: char) -> bool {
    is_hidden(c) && !matches!(c, '\n' | '\t' | '\u{200c}' | '\u{200d}')
}

/// Tells a separator of lines or paragraphs.
fn is_separator(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_steer_the_terminal() {
        assert_eq!(plain("\u{1b}[31mred\u{1b}[0m\r\u{7}\tx\n"), "red\tx\n");
        assert_eq!(plain("\u{1b}]0;title\u{7}x"), "x");
        assert_eq!(one_line("a\n  b\u{8}"), "a b");
        assert_eq!(plain("a\u{9b}31mb"), "ab");
    }

    #[test]
    fn text_cannot_turn_its_direction_or_pretend_to_be_more_lines() {
        assert_eq!(plain("gpj.\u{202e}exe\u{202c}\u{2066}x\u{2069}\u{200b}\u{feff}"), "gpj.exex");
        assert_eq!(one_line("done\u{2028}task 2 done\u{2029}"), "done task 2 done");
    }

    #[test]
    fn letters_that_join_and_pictures_stay_whole() {
        for text in
            ["\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}", "\u{1f469}\u{200d}\u{1f4bb}"]
        {
            assert_eq!(plain(text), text);
        }
    }

    #[test]
    fn json_is_the_same_json_and_steers_nothing() {
        let value = serde_json::json!({"name": "a\u{1b}[2J\u{9b}2J\u{7f}\u{202e}b\u{e0041}\n\u{e9}"});
        for text in [json(&value).unwrap(), json_line(&value).unwrap()] {
            assert!(!text.chars().any(|c| is_hidden(c) && c != '\n'), "{text}");
            assert!(
                text.contains("\\u202e") && text.contains("\\udb40\\udc41") && text.contains('\u{e9}'),
                "{text}"
            );
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        }
    }
}
