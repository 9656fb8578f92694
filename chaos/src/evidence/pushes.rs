//! What arrived at the remote: every move of every branch, and the files of results.

use std::collections::HashMap;

use anyhow::Context;
use makima_shared::domain::{TaskId, TaskStatus};

use super::History;
use crate::remote::{Push, Remote};

/// What agents that write lines write them to.
const FILE: &str = "lines.txt";

/// The results of a run.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// All moves of branches, in order for each branch.
    pub(crate) pushes: Vec<Push>,
    /// Where each branch stands now.
    pub(crate) branches: HashMap<String, String>,
    /// The lines of each done task that has a branch; or why they cannot be read.
    pub(crate) lines: HashMap<TaskId, Result<String, String>>,
}

impl Results {
    /// Reads the remote.
    pub(super) async fn read(remote: &Remote, histories: &HashMap<TaskId, History>) -> anyhow::Result<Self> {
        let refs = remote.refs().await.context("the remote's refs cannot be read")?;
        let strip =
            |(name, commit): (String, String)| Some((name.strip_prefix("refs/heads/")?.to_owned(), commit));
        let mut lines = HashMap::new();
        for (task, history) in histories.iter().filter(|(_, history)| history.task.status == TaskStatus::Done)
        {
            if let Some(branch) = &history.task.result_branch {
                let file = remote.file(branch, FILE).await.map_err(|error| format!("{error:#}"));
                lines.insert(*task, file);
            }
        }
        Ok(Self { pushes: remote.pushes()?, branches: refs.into_iter().filter_map(strip).collect(), lines })
    }
}
