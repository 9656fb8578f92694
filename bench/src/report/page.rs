//! The part of a page that a run writes: everything between two markers, and nothing else.

use std::path::Path;

use anyhow::{Context, bail};

const BEGIN: &str = "<!-- makima-bench: begin -->";
const END: &str = "<!-- makima-bench: end -->";

/// Replaces the figures of a page.
pub(super) fn update(file: &Path, figures: &str) -> anyhow::Result<()> {
    let page = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let page = replaced(&page, figures).with_context(|| format!("cannot update {}", file.display()))?;
    std::fs::write(file, page).with_context(|| format!("cannot write {}", file.display()))
}

fn replaced(page: &str, figures: &str) -> anyhow::Result<String> {
    let found = page.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?)));
    let Some((before, (_old, after))) = found else {
        bail!("it has no lines {BEGIN} and, below it, {END}");
    };
    Ok(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", figures.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let page = format!("# Title\n\n{BEGIN}\nold\nolder\n{END}\n\nThe end.\n");
        let expected = format!("# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nThe end.\n");
        let updated = replaced(&page, "new\n").unwrap();
        assert_eq!(updated, expected);
        assert_eq!(replaced(&updated, "new").unwrap(), expected, "a second time changes nothing");
    }

    #[test]
    fn a_page_without_both_markers_in_order_is_left_alone() {
        for page in ["no markers", BEGIN, END, &format!("{END} {BEGIN}")] {
            assert!(replaced(page, "new").is_err(), "{page}");
        }
    }
}
