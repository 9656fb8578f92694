//! What a statement does, as far as its text tells.

/// How much of a statement's text names it in a report.
const LABEL_CHARS: usize = 70;

/// A statement that a client prepared or sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// Its beginning, to call it by.
    pub(super) label: String,
    /// It changes rows, or commits that.
    pub(super) writes: bool,
    /// It changes rows only while an epoch is the current one.
    pub(super) is_fenced: bool,
}

impl Statement {
    /// Reads a statement's text.
    pub(super) fn of(sql: &str) -> Self {
        let words: Vec<_> = sql.split_whitespace().collect();
        let text = words.join(" ");
        let writes = text == "COMMIT"
            || [" SET ", "INSERT INTO ", "DELETE FROM "].iter().any(|part| text.contains(part));
        let is_fenced = writes && compares_epoch(&text);
        Self { label: label(&text), writes, is_fenced }
    }
}

/// Tells whether an epoch is compared in a statement, rather than counted up.
fn compares_epoch(text: &str) -> bool {
    text.match_indices("epoch = ").any(|(at, part)| !text[at + part.len()..].starts_with("t.epoch + 1"))
}

/// Names a statement: what it changes first, where it begins with a query.
fn label(text: &str) -> String {
    // Not the `UPDATE` of a lock.
    let changes = ["( UPDATE ", ") UPDATE ", "INSERT INTO ", "DELETE FROM "];
    let change =
        changes.iter().filter_map(|part| Some(text.find(part)? + part.find(char::is_alphabetic)?)).min();
    let from = change.filter(|_| text.starts_with("WITH ")).unwrap_or(0);
    text[from..].chars().take(LABEL_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_fenced_writes_are_told_apart_from_reads() {
        let read = Statement::of("SELECT id FROM tasks WHERE epoch = $1 FOR NO KEY UPDATE");
        assert!(!read.writes && !read.is_fenced);
        let fenced = Statement::of(
            "WITH a AS ( SELECT FOR UPDATE ), head AS ( UPDATE tasks SET x = 1 WHERE id = $1 AND epoch = $2 ) SELECT 1",
        );
        assert!(fenced.writes && fenced.is_fenced);
        assert!(fenced.label.starts_with("UPDATE tasks SET"), "{}", fenced.label);
        let batch = Statement::of(
            "UPDATE tasks t SET a = 1 FROM asked WHERE asked.epoch IS NULL OR t.epoch = asked.epoch",
        );
        assert!(batch.is_fenced);
        let claim = Statement::of("UPDATE tasks t SET status = 'starting', epoch = t.epoch + 1");
        assert!(claim.writes && !claim.is_fenced);
        assert!(Statement::of("COMMIT").writes && !Statement::of("BEGIN").writes);
    }
}
