//! What an agent's run has left: the pushed result, and the last checkpoint.

use std::fmt;

use anyhow::{Context, ensure};
use makima_shared::domain::{TaskId, TaskStatus};
use sqlx::PgPool;

use super::standing::Standing;
use crate::remote::Remote;

/// Who the agent commits as.
const AGENT: &str = "agent@chaos";
/// How many files that differ are named.
const MAX_NAMED: usize = 20;

/// The work of a run, each part with a name.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) result_tree: String,
    /// The agent's own commits below the result, the oldest first: their ids stand for their trees.
    pub(super) commits: Vec<String>,
    pub(super) checkpoint_tree: String,
    /// HEAD and branches of the agent: ids of commits, too.
    pub(super) refs: serde_json::Value,
    pub(super) checkpoints: i32,
    pub(super) attempts: i64,
}

impl Work {
    /// Gathers the work of a task that is over.
    pub(super) async fn of(pool: &PgPool, remote: &Remote, base: &str, task: TaskId) -> anyhow::Result<Self> {
        let end = Standing::of(pool, task).await?;
        let why = end.status_message.as_deref().or(end.completion_error.as_deref()).unwrap_or("no reason");
        ensure!(end.status == TaskStatus::Done, "the task is {}: {why}", end.status);
        let commit = end.result_commit.with_context(|| format!("nothing was pushed: {why}"))?;
        let tree = remote.git(&["rev-parse", &format!("{commit}^{{tree}}")]).await?;
        let (author, range) = (format!("--author={AGENT}"), format!("{base}..{commit}"));
        let commits = remote.git(&["log", "--reverse", "--format=%H", &author, &range]).await?;
        Ok(Self {
            result_tree: tree.trim().to_owned(),
            commits: commits.lines().map(str::to_owned).collect(),
            checkpoint_tree: end.tree_id.context("there is no checkpoint")?,
            refs: end.refs.unwrap_or_default(),
            checkpoints: end.checkpoints,
            attempts: end.epoch,
        })
    }

    /// Says what differs from the work of an undisturbed run.
    pub(super) async fn differences(
        &self,
        undisturbed: &Self,
        remote: &Remote,
    ) -> anyhow::Result<Vec<String>> {
        let mut found = Vec::new();
        if self.result_tree != undisturbed.result_tree {
            found.push(format!(
                "tree {} was pushed, {} undisturbed",
                self.result_tree, undisturbed.result_tree
            ));
            let arguments = ["diff-tree", "-r", "--name-status", &undisturbed.result_tree, &self.result_tree];
            let named = remote.git(&arguments).await?;
            found.extend(named.lines().take(MAX_NAMED).map(|line| format!("  {line}")));
        }
        if self.commits != undisturbed.commits {
            found.push(format!("commits {:?}, undisturbed {:?}", self.commits, undisturbed.commits));
        }
        if self.checkpoint_tree != undisturbed.checkpoint_tree {
            let (ours, theirs) = (&self.checkpoint_tree, &undisturbed.checkpoint_tree);
            found.push(format!("the last checkpoint has tree {ours}, {theirs} undisturbed"));
        }
        if self.refs != undisturbed.refs {
            found.push(format!("branches {}, undisturbed {}", self.refs, undisturbed.refs));
        }
        Ok(found)
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let branches = self.refs["branches"].as_object().map_or(0, serde_json::Map::len);
        write!(f, "tree {}, {} commits, {branches} branches", self.result_tree, self.commits.len())
    }
}
