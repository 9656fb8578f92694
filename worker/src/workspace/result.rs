//! Turns the work of an agent that has ended into the commit that is its task's result.
//!
//! The agent's own commits are kept where they descend from the base and their objects are sound; what is uncommitted
//! becomes one commit on top. Where they are not, or are larger than a worker reads, everything becomes one commit on
//! the base.

mod convert;
mod tree;

use git2::{Oid, Repository, Signature};

use super::Workspace;
use super::agent_commits::{self, Unusable};
use super::agent_repository::{AgentIndex, head_commit};
use super::tree_reader::TreeReader;
use crate::git::GitError;

/// How much the agent's own commits may unfold to.
const MAX_COMMITS_BYTES: usize = 1 << 30;
/// Longest slug of a branch name.
const SLUG_LENGTH: usize = 40;

/// Who a result is committed as.
#[derive(Debug, Clone, Copy)]
pub struct Author<'a> {
    /// Name.
    pub name: &'a str,
    /// Mail address.
    pub email: &'a str,
}

impl Author<'_> {
    /// Signs with the present time, without what git does not take in a name.
    pub(super) fn signature(&self) -> Result<Signature<'static>, git2::Error> {
        Signature::now(&plain(self.name, "makima"), &plain(self.email, "makima@localhost"))
    }
}

impl Default for Author<'_> {
    fn default() -> Self {
        Self { name: "makima", email: "makima@localhost" }
    }
}

/// Why no result could be made.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// git failed.
    #[error("the result could not be written")]
    Git(#[from] GitError),
    /// The worker's git directory could not be read or written.
    #[error("the result could not be committed")]
    Repository(#[from] git2::Error),
    /// A file of the workspace could not be read or written.
    #[error("the workspace could not be read")]
    Io(#[from] std::io::Error),
}

/// Commits the work of an agent that has ended, `tree_id` being its last snapshot, and returns the commit (40 hex digits);
/// none if there is nothing new.
pub fn commit_result(
    workspace: &Workspace,
    tree_id: &str,
    message: &str,
    author: Author<'_>,
) -> Result<Option<String>, ResultError> {
    let mut reader = TreeReader::open(&workspace.tree())?;
    let repository = workspace.host_repository()?;
    let parent = match agent_head(workspace, &repository, &mut reader) {
        Ok(Some(head)) => head,
        Ok(None) => workspace.base_commit,
        Err(reason) => {
            tracing::warn!(%reason, "the agent's own commits cannot be kept; its work becomes one commit");
            workspace.base_commit
        }
    };
    let parent = repository.find_commit(parent)?;
    let index = AgentIndex::read(workspace, &mut reader);
    let snapshot_tree = Oid::from_str(tree_id)?;
    let tree =
        tree::result_tree(workspace, &repository, &mut reader, &parent, snapshot_tree, index.as_ref())?;
    let result = if tree == parent.tree_id() {
        parent.id()
    } else {
        let signature = author.signature()?;
        let tree = repository.find_tree(tree)?;
        let message = message.replace('\0', "");
        repository.commit(None, &signature, &signature, &message, &tree, &[&parent])?
    };
    Ok((result != workspace.base_commit).then(|| result.to_string()))
}

/// Brings over what HEAD of the agent has beyond the base, and returns HEAD; none if HEAD is the base.
fn agent_head(
    workspace: &Workspace,
    repository: &Repository,
    reader: &mut TreeReader,
) -> Result<Option<Oid>, Unusable> {
    let head = head_commit(reader).ok_or(Unusable::NoHead)?;
    let base = workspace.base_commit;
    if head == base {
        return Ok(None);
    }
    let roots = agent_commits::bring_over(workspace, repository, reader, &[head], MAX_COMMITS_BYTES)?;
    let descends = |root: Oid| root == base || repository.graph_descendant_of(root, base).unwrap_or(false);
    if !roots.into_iter().any(descends) {
        return Err(Unusable::Unrelated);
    }
    agent_commits::measure_tree(repository, repository.find_commit(head)?.tree_id())?;
    Ok(Some(head))
}

/// Returns `text` without what git does not take in a name, or `default` if nothing is left.
fn plain(text: &str, default: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control() && !matches!(c, '<' | '>')).collect();
    let text = text.trim().trim_matches(['.', ',', ':', ';', '"', '\'', '\\']).trim();
    if text.is_empty() { default.to_owned() } else { text.to_owned() }
}

/// Returns the branch of a task's result, `makima/<short id>-<slug of its name>`: always a valid name.
pub fn branch_name(short_id: &str, task_name: &str) -> String {
    let slug = |text: &str| {
        let mut slug = String::new();
        for letter in text.chars() {
            if letter.is_ascii_alphanumeric() {
                slug.push(letter.to_ascii_lowercase());
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        slug.truncate(SLUG_LENGTH);
        slug.trim_end_matches('-').to_owned()
    };
    let parts = [slug(short_id), slug(task_name)];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "makima/task".to_owned() } else { format!("makima/{}", parts.join("-")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn branch_name_is_readable() {
        assert_eq!(branch_name("0193ab", "Fix the  Build!\n"), "makima/0193ab-fix-the-build");
        assert_eq!(branch_name("0193ab", "…"), "makima/0193ab");
        assert_eq!(branch_name("", ""), "makima/task");
    }

    proptest! {
        #[test]
        fn branch_name_is_always_valid(id in ".{0,12}", name in ".{0,80}") {
            let branch = branch_name(&id, &name);
            prop_assert!(git2::Reference::is_valid_name(&format!("refs/heads/{branch}")), "{}", branch);
        }

        #[test]
        fn any_author_can_sign(name in ".{0,20}", email in ".{0,20}") {
            prop_assert!(Signature::now(&plain(&name, "makima"), &plain(&email, "makima@localhost")).is_ok());
        }
    }
}
