//! Which ignored files a task wants kept all the same.

use super::pattern::{Pattern, parse};

/// Globs as lines of a `.gitignore` at the tree's root, with the other meaning: what the last matching one names is
/// kept, and a directory with all below it.
#[derive(Debug, Default)]
pub(in crate::workspace) struct KeepRules(Vec<Pattern>);

impl KeepRules {
    pub(in crate::workspace) fn parse(globs: &[String]) -> Self {
        Self(parse(globs.join("\n").as_bytes()))
    }

    /// Tells whether the last glob that matches `path` keeps it; none if no glob matches.
    pub(in crate::workspace) fn verdict(&self, path: &[u8], is_directory: bool) -> Option<bool> {
        let last = self.0.iter().rev().find(|pattern| pattern.matches(path, is_directory));
        last.map(|pattern| !pattern.is_negated())
    }

    /// Tells whether something below `directory`, which is not kept itself, may be kept: otherwise nobody need look.
    pub(in crate::workspace) fn may_keep_below(&self, directory: &[u8]) -> bool {
        self.0.iter().any(|pattern| !pattern.is_negated() && pattern.may_match_below(directory))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(globs: &[&str]) -> KeepRules {
        KeepRules::parse(&globs.iter().map(|&glob| glob.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_last_match_decides() {
        let rules = rules(&["*.log", "!secret.log", "out/"]);
        assert_eq!(rules.verdict(b"a/b.log", false), Some(true));
        assert_eq!(rules.verdict(b"a/secret.log", false), Some(false));
        assert_eq!(rules.verdict(b"out", true), Some(true));
        assert_eq!(rules.verdict(b"out", false), None);
        assert_eq!(rules.verdict(b"a.txt", false), None);
    }

    #[test]
    fn only_directories_that_may_hold_a_match_are_looked_into() {
        let paths = rules(&["target/report.json", "/build*/x", "!node_modules/a"]);
        for directory in ["target", "build", "buildings"] {
            assert!(paths.may_keep_below(directory.as_bytes()), "{directory}");
        }
        for directory in ["node_modules", "targets", "a/target", "src"] {
            assert!(!paths.may_keep_below(directory.as_bytes()), "{directory}");
        }
        assert!(rules(&["*.log"]).may_keep_below(b"any/where"));
        assert!(rules(&["a/**/x"]).may_keep_below(b"a/b/c"));
        assert!(!rules(&[]).may_keep_below(b"a"));
    }
}
