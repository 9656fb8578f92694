//! Where a task's work starts, if not at the tip of its branch, and which ignored files are a part of it.

use super::{FieldError, TaskSubmission};
use crate::domain::is_hidden;

const SHA_DIGITS: usize = 40;
const MAX_COPY_FILES: usize = 100;
const MAX_KEEP_IGNORED: usize = 50;
/// Linux's `PATH_MAX`.
const MAX_PATH_BYTES: usize = 4096;
const MAX_GLOB_BYTES: usize = 1024;

impl TaskSubmission {
    pub(super) fn check_start(&mut self, errors: &mut Vec<FieldError>) {
        if let Some(sha) = &mut self.checkpoint_sha {
            sha.make_ascii_lowercase();
            if sha.len() != SHA_DIGITS || !sha.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                errors.push(FieldError::new("checkpointSha", "must be 40 hexadecimal digits"));
            }
        }
        if self.copy_files.len() > MAX_COPY_FILES {
            errors.push(FieldError::new("copyFiles", "names more than 100 files"));
            return;
        }
        if !self.copy_files.is_empty() && self.continue_from_task_id.is_none() {
            errors
                .push(FieldError::new("copyFiles", "needs continueFromTaskId, the task to bring them from"));
        }
        for (place, path) in self.copy_files.iter().enumerate() {
            if let Some(problem) = problem_of_path(path) {
                errors.push(FieldError::new(format!("copyFiles[{place}]"), problem));
            }
        }
    }

    pub(super) fn check_keep_ignored(&self, errors: &mut Vec<FieldError>) {
        if self.keep_ignored.len() > MAX_KEEP_IGNORED {
            errors.push(FieldError::new("keepIgnored", "has more than 50 globs"));
            return;
        }
        for (place, glob) in self.keep_ignored.iter().enumerate() {
            if let Some(problem) = problem_of_glob(glob) {
                errors.push(FieldError::new(format!("keepIgnored[{place}]"), problem));
            }
        }
    }
}

/// Says what keeps a path from naming something inside of a work tree, if anything.
fn problem_of_path(path: &str) -> Option<&'static str> {
    // A directory may be written as one.
    let names = path.strip_suffix('/').unwrap_or(path);
    if names.is_empty() || path.len() > MAX_PATH_BYTES {
        Some("must have 1 to 4,096 bytes")
    } else if path.starts_with('/') {
        Some("must be relative to the repository's root")
    } else if path.chars().any(is_hidden) {
        Some("holds control or format characters")
    } else if names.split('/').any(|name| matches!(name, "" | "." | "..")) {
        Some("must not have `.`, `..` or empty names in it")
    } else if names.split('/').any(|name| name.eq_ignore_ascii_case(".git")) {
        Some("must not lead into `.git`")
    } else {
        None
    }
}

fn problem_of_glob(glob: &str) -> Option<&'static str> {
    if glob.trim().is_empty() || glob.len() > MAX_GLOB_BYTES {
        Some("must have 1 to 1,024 bytes that are no blanks alone")
    } else if glob.chars().any(is_hidden) {
        Some("holds control or format characters")
    } else if glob.starts_with('#') {
        Some("is a comment: write `\\#` for a name that starts with `#`")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Agent, SubmissionPolicy, TaskId};

    fn submission() -> TaskSubmission {
        let agent = Agent::command(vec!["true".to_owned()]);
        TaskSubmission::new("a".to_owned(), "a".to_owned(), "https://host/a.git".to_owned(), agent)
    }

    fn first_problem(submission: TaskSubmission) -> Option<String> {
        let policy = SubmissionPolicy { allow_local_repositories: false };
        submission.check(&policy).err().map(|errors| errors[0].field.clone())
    }

    #[test]
    fn files_to_copy_stay_inside_the_tree() {
        let copying = |path: &str| TaskSubmission {
            continue_from_task_id: Some(TaskId::new()),
            copy_files: vec!["fine.txt".to_owned(), path.to_owned()],
            ..submission()
        };
        for path in [
            "",
            "/",
            "/etc/passwd",
            "../a",
            "a/../b",
            "a//b",
            "./a",
            ".git/config",
            "a/.GIT",
            "a\n",
            "a\u{202e}b",
        ] {
            assert_eq!(first_problem(copying(path)).as_deref(), Some("copyFiles[1]"), "{path:?}");
        }
        for path in ["a", "a/b c/d.txt", "dir/", ".gitignore", "..a", "r\u{e9}sum\u{e9}"] {
            assert_eq!(first_problem(copying(path)), None, "{path:?}");
        }
        let many = TaskSubmission { copy_files: vec!["a".to_owned(); 101], ..copying("a") };
        assert_eq!(first_problem(many).as_deref(), Some("copyFiles"));
        let from_nowhere = TaskSubmission { continue_from_task_id: None, ..copying("a") };
        assert_eq!(first_problem(from_nowhere).as_deref(), Some("copyFiles"));
    }

    #[test]
    fn a_state_is_named_by_forty_digits() {
        let at = |sha: &str| TaskSubmission { checkpoint_sha: Some(sha.to_owned()), ..submission() };
        for sha in ["", "main", &"a".repeat(39), &"g".repeat(40), &"a".repeat(64)] {
            assert_eq!(first_problem(at(sha)).as_deref(), Some("checkpointSha"), "{sha}");
        }
        let policy = SubmissionPolicy { allow_local_repositories: false };
        let taken = at(&"AB12".repeat(10)).check(&policy).unwrap().submission;
        assert_eq!(taken.checkpoint_sha, Some("ab12".repeat(10)));
    }

    #[test]
    fn globs_are_lines_of_an_ignore_file() {
        let keeping = |glob: &str| TaskSubmission { keep_ignored: vec![glob.to_owned()], ..submission() };
        for glob in ["", "  ", "#x", "a\nb", &"x".repeat(1025)] {
            assert_eq!(first_problem(keeping(glob)).as_deref(), Some("keepIgnored[0]"), "{glob:?}");
        }
        assert_eq!(first_problem(keeping("target/**/*.log")), None);
        let many = TaskSubmission { keep_ignored: vec!["a".to_owned(); 51], ..submission() };
        assert_eq!(first_problem(many).as_deref(), Some("keepIgnored"));
    }
}
