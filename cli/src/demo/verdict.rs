//! The checks, each told with a mark as it is made.

use console::style;

use super::view::View;

/// Counts what holds and what does not.
pub(crate) struct Verdict<'a> {
    view: &'a View,
    made: usize,
    failed: usize,
}

impl<'a> Verdict<'a> {
    /// Nothing has been checked yet.
    pub(crate) fn new(view: &'a View) -> Self {
        Self { view, made: 0, failed: 0 }
    }

    /// Tells whether something holds that should.
    pub(crate) fn check(&mut self, holds: bool, words: &str) {
        self.made += 1;
        self.failed += usize::from(!holds);
        let mark = if holds { style("✔").green() } else { style("✘").red() };
        self.view.line(&format!("  {mark} {words}"));
    }

    /// Like [`Verdict::check`] with what was found instead, which is told only where the check fails.
    pub(crate) fn check_or(&mut self, holds: bool, words: &str, found: &str) {
        if holds {
            self.check(true, words);
        } else {
            self.check(false, &format!("{words}: {found}"));
        }
    }

    /// Tells whether everything held.
    pub(crate) fn is_good(&self) -> bool {
        self.failed == 0
    }

    /// Returns how many checks there were, and how many of them failed.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.made, self.failed)
    }
}
