//! Labels: what a task asks for and a worker offers, such as `gpu` or `region=eu`.

/// The longest label, in bytes.
const MAX_LABEL_BYTES: usize = 63;
/// The most labels of one task or worker.
pub const MAX_LABELS: usize = 16;

/// Tells whether a text is a label: letters, digits and `._:/=-`, at most 63 of them, a letter or digit first.
#[must_use]
pub fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL_BYTES
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._:/=-".contains(c))
}

/// Sorts labels and drops repeats, so that equal sets are written alike.
#[must_use]
pub fn sorted_labels(mut labels: Vec<String>) -> Vec<String> {
    labels.sort_unstable();
    labels.dedup();
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_one_plain_word() {
        for good in ["gpu", "region=eu-1", "a.b/c:d", "9"] {
            assert!(is_label(good), "{good}");
        }
        for bad in ["", " gpu", "a b", "-x", "ü", "a,b", &"x".repeat(64)] {
            assert!(!is_label(bad), "{bad}");
        }
    }

    #[test]
    fn equal_sets_are_written_alike() {
        let labels = ["b", "a", "b"].map(str::to_owned).to_vec();
        assert_eq!(sorted_labels(labels), ["a", "b"]);
    }
}
