//! Characters that nobody sees, and that change how the text around them is seen.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Tells whether a character is a control (Unicode's category Cc), a format character (Cf: such as those that turn the
/// direction of the text, or have no width) or a separator of lines or paragraphs (Zl, Zp).
#[must_use]
pub fn is_hidden(c: char) -> bool {
    // By category and not by the whole list: it grows.
    !c.is_ascii_graphic()
        && matches!(
            c.general_category(),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_text_is_hidden_and_what_is_text_is_not() {
        for c in "\0\n\u{1b}\u{9b}\u{ad}\u{61c}\u{200b}\u{200f}\u{202a}\u{202e}\u{2028}\u{2029}\u{2066}\u{2069}\u{feff}\u{e0041}".chars() {
            assert!(is_hidden(c), "{c:?}");
        }
        for c in "a ~\u{a0}\u{e9}\u{5d0}\u{4e2d}\u{301}\u{2026}\u{1f980}".chars() {
            assert!(!is_hidden(c), "{c:?}");
        }
    }
}
