//! The result on a branch of its own.

use std::sync::Arc;

use makima_shared::domain::{Completion, CompletionError, CompletionStatus};
use tokio::time::sleep;
use tracing::{info, warn};

use super::{Delivery, PAUSES, refused};
use crate::attempt::End;
use crate::attempt::prepare::accepted;
use crate::workspace::{PushError, Upstream, push};

impl Delivery<'_> {
    /// Pushes the result, and says how that went.
    pub(super) async fn push(&self) -> Result<Completion, End> {
        Ok(match self.push_branch().await? {
            Ok(branch) => Completion {
                status: CompletionStatus::Pushed,
                branch: Some(branch),
                commit: Some(self.commit.clone()),
                ..Completion::default()
            },
            Err(error) => Completion {
                status: CompletionStatus::Failed,
                commit: Some(self.commit.clone()),
                error: Some(error),
                ..Completion::default()
            },
        })
    }

    /// Pushes the result to the task's own branch, and returns that, or why not.
    pub(super) async fn push_branch(&self) -> Result<Result<String, CompletionError>, End> {
        let (attempt, branch) = (self.attempt, self.branch());
        // Noted before the push, so that whatever happens now, the next attempt knows the commit as its own task's.
        let store = &attempt.context().store;
        let ours = accepted(attempt.insist(|| store.attempt_pushing(attempt.key(), &self.commit)).await)?;
        let mut pauses = PAUSES.iter();
        loop {
            let (repositories, workspace) =
                (Arc::clone(&attempt.context().repositories), self.workspace.clone());
            let (url, commit, to, ours) =
                (attempt.task.repository_url.clone(), self.commit.clone(), branch.clone(), ours.clone());
            let base = attempt.task.base_branch.clone();
            let pushing = self.threads.run(move || {
                let remote = repositories.remote(&url).map_err(PushError::Repository)?;
                let upstream = Upstream { repositories: &repositories, url: &url, branch: base.as_deref() };
                upstream.push(&workspace, || push(&workspace, &remote, &commit, &to, &ours))
            });
            let pushed = pushing.await?;
            match (pushed, pauses.next()) {
                (Ok(_pushed), _) => {
                    info!(branch, "pushed");
                    return Ok(Ok(branch));
                }
                (Err(error), Some(pause)) if !error.is_permanent() => {
                    warn!(error = &error as &dyn std::error::Error, "the push failed, trying again");
                    sleep(*pause).await; // why: back-off before the next try
                }
                (Err(error), _) => return Ok(Err(refused(&error))),
            }
        }
    }
}
