//! Asks a remote what it has, and tells its refusals apart.

use std::path::Path;

use super::{LISTING_DEADLINE, Remote, RepositoryError};
use crate::git::{Cancel, GitError, scrub_credentials};

/// A remote, and the git directory in which it is asked.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) remote: &'a Remote,
    pub(super) git_dir: &'a Path,
    pub(super) cancel: &'a Cancel,
}

/// Where a branch of a remote stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tip {
    pub(super) commit: String,
    /// None if the remote's HEAD is detached.
    pub(super) branch: Option<String>,
    reference: String,
}

impl Tip {
    /// Returns the ref of the remote to fetch.
    pub(super) fn reference(&self) -> &str {
        &self.reference
    }

    fn of_branch(branch: &str, commit: &str) -> Self {
        let reference = format!("refs/heads/{branch}");
        Self { commit: commit.to_owned(), branch: Some(branch.to_owned()), reference }
    }
}

/// Returns the tip of `branch`, or of the branch that the remote's HEAD names.
pub(super) fn tip(asked: Asked<'_>, branch: Option<&str>) -> Result<Tip, RepositoryError> {
    let Some(branch) = branch else { return head_tip(asked) };
    let reference = format!("refs/heads/{branch}");
    let listing = list(asked, &["HEAD", &reference])?;
    match listing.commit_of(&reference) {
        Some(commit) => Ok(Tip::of_branch(branch, commit)),
        None if listing.commit_of("HEAD").is_none() && only_branches(asked)?.is_empty() => {
            Err(RepositoryError::Empty)
        }
        None => Err(RepositoryError::BranchNotFound { branch: branch.to_owned() }),
    }
}

fn head_tip(asked: Asked<'_>) -> Result<Tip, RepositoryError> {
    let listing = list(asked, &["HEAD"])?;
    if let Some(commit) = listing.commit_of("HEAD") {
        return Ok(match listing.branch_of_head() {
            Some(branch) => Tip::of_branch(branch, commit),
            None => Tip { commit: commit.to_owned(), branch: None, reference: "HEAD".into() },
        });
    }
    // HEAD names a branch that does not exist: common where a bare repository was made with another default branch.
    match only_branches(asked)?.as_slice() {
        [] => Err(RepositoryError::Empty),
        [(commit, branch)] => Ok(Tip::of_branch(branch, commit)),
        [..] => Err(RepositoryError::BranchNotFound { branch: "HEAD".into() }),
    }
}

/// Returns commit and name of all branches of the remote.
fn only_branches(asked: Asked<'_>) -> Result<Vec<(String, String)>, RepositoryError> {
    let listing = list(asked, &["refs/heads/*"])?;
    let branches = listing.references.into_iter();
    Ok(branches
        .filter_map(|(commit, name)| Some((commit, name.strip_prefix("refs/heads/")?.to_owned())))
        .collect())
}

/// Returns the commit that `branch` of the remote has now, if the branch exists.
pub(crate) fn branch_commit(
    remote: &Remote,
    git_dir: &Path,
    branch: &str,
    cancel: &Cancel,
) -> Result<Option<String>, RepositoryError> {
    let asked = Asked { remote, git_dir, cancel };
    let reference = format!("refs/heads/{branch}");
    Ok(list(asked, &[&reference])?.commit_of(&reference).map(str::to_owned))
}

#[derive(Debug, Default)]
struct Listing {
    head_target: Option<String>,
    /// Commit and full name.
    references: Vec<(String, String)>,
}

impl Listing {
    fn commit_of(&self, reference: &str) -> Option<&str> {
        self.references.iter().find(|(_, name)| name == reference).map(|(commit, _)| commit.as_str())
    }

    fn branch_of_head(&self) -> Option<&str> {
        self.head_target.as_deref()?.strip_prefix("refs/heads/")
    }

    fn parse(text: &str) -> Self {
        let mut listing = Self::default();
        for (left, name) in text.lines().filter_map(|line| line.split_once('\t')) {
            match left.strip_prefix("ref: ") {
                Some(target) if name == "HEAD" => listing.head_target = Some(target.to_owned()),
                Some(_) => {}
                None => listing.references.push((left.to_owned(), name.to_owned())),
            }
        }
        listing
    }
}

fn list(asked: Asked<'_>, patterns: &[&str]) -> Result<Listing, RepositoryError> {
    let command = asked
        .remote
        .ls_remote(asked.git_dir, LISTING_DEADLINE, asked.cancel)
        .args(["--symref", "--quiet", "--", asked.remote.url()])
        .args(patterns);
    let text = command.output().map_err(|error| classify(&error))?;
    Ok(Listing::parse(&String::from_utf8_lossy(&text)))
}

/// Translates the failure of a command that talked to the remote.
pub(crate) fn classify(error: &GitError) -> RepositoryError {
    match error {
        GitError::Failed { stderr, .. } => {
            let words = stderr.to_lowercase();
            let http_not_found = words.contains("repository '") && words.contains("' not found");
            let missing = ["repository not found", "does not appear to be a git repository"];
            if http_not_found || missing.iter().any(|phrase| words.contains(phrase)) {
                RepositoryError::NotFound { stderr: stderr.clone() }
            } else {
                RepositoryError::Unreachable { stderr: stderr.clone() }
            }
        }
        GitError::TimedOut { .. } | GitError::OutputTooLong { .. } => {
            RepositoryError::Unreachable { stderr: error.to_string() }
        }
        GitError::Cancelled => RepositoryError::Cancelled,
        GitError::NotFound | GitError::Spawn { .. } | GitError::Data { .. } => {
            RepositoryError::Cache { reason: scrub_credentials(&error.to_string()) }
        }
    }
}

/// Tells whether the remote answered that it does not have, or does not give out, a commit that was asked for by its id.
pub(super) fn is_refused_commit(error: &GitError) -> bool {
    let GitError::Failed { stderr, .. } = error else { return false };
    let refusals = ["not our ref", "unadvertised object", "couldn't find remote ref", "bad object"];
    refusals.iter().any(|phrase| stderr.contains(phrase))
}

/// Tells whether the remote, or the way to it, knows no fetch of a part of a history (`fetch-pack.c`, `remote-curl.c`).
pub(super) fn is_without_depth(error: &GitError) -> bool {
    let GitError::Failed { stderr, .. } = error else { return false };
    stderr.contains("does not support shallow")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listing_tells_head_from_branches_that_end_alike() {
        let listing = Listing::parse(
            "ref: refs/heads/main\tHEAD\naaaa\tHEAD\nbbbb\trefs/remotes/origin/HEAD\ncccc\trefs/heads/refs/heads/x\n",
        );
        assert_eq!(listing.commit_of("HEAD"), Some("aaaa"));
        assert_eq!(listing.branch_of_head(), Some("main"));
        assert_eq!(listing.commit_of("refs/heads/x"), None);
    }

    #[test]
    fn refusals_of_remotes_are_told_apart() {
        let failed =
            |stderr: &str| GitError::Failed { command: "fetch", exit_code: Some(128), stderr: stderr.into() };
        let code = |stderr| classify(&failed(stderr)).code();
        assert_eq!(code("fatal: '/x' does not appear to be a git repository"), "REPOSITORY_NOT_FOUND");
        assert_eq!(code("ERROR: Repository not found."), "REPOSITORY_NOT_FOUND");
        assert_eq!(code("fatal: repository 'https://h/x/' not found"), "REPOSITORY_NOT_FOUND");
        assert_eq!(
            code("fatal: unable to access 'https://h/': Could not resolve host"),
            "REPOSITORY_UNREACHABLE"
        );
        assert!(is_refused_commit(&failed("fatal: remote error: upload-pack: not our ref 1234")));
    }
}
