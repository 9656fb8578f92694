//! The result on a branch of its own, and a pull request from there to the base branch.

use std::sync::Arc;

use makima_shared::domain::{Completion, CompletionError, CompletionStatus};
use tracing::{info, warn};

use super::merge::no_base_branch;
use super::{Delivery, PAUSES, failure, first_lines, refused};
use crate::attempt::End;
use crate::attempt::prepare::chain;
use crate::github::{PullRequest, PullRequestError};
use crate::workspace::PushError;

impl Delivery<'_> {
    /// Pushes the result and opens a pull request, and says how that went.
    pub(super) async fn open_pull_request(&self) -> Result<Completion, End> {
        let pushed = self.push().await?;
        let Some(branch) = pushed.branch.clone() else { return Ok(pushed) };
        let base = match self.base_branch().await? {
            Ok(base) => base,
            Err(error) => return Ok(not_opened(pushed, error)),
        };
        Ok(match self.request_pull(&branch, &base).await {
            Ok(url) => {
                info!(branch, url, "a pull request is open");
                Completion { status: CompletionStatus::PrOpened, pull_request_url: Some(url), ..pushed }
            }
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "no pull request was opened");
                not_opened(pushed, failure(error.code(), chain(&error)))
            }
        })
    }

    async fn request_pull(&self, branch: &str, base: &str) -> Result<String, PullRequestError> {
        let (task, github) = (self.attempt.task, &self.attempt.context().github);
        let repository = github.repository(&task.repository_url)?;
        let body = format!("{}\n\nMakima-Task: {}\n", first_lines(&task.plan), task.id);
        let request = PullRequest { title: &task.name, body: &body, head: branch, base };
        github.open_pull_request(&repository, &request).await
    }

    /// Returns the branch that the work began from; the one that the remote's HEAD names where the task names none.
    async fn base_branch(&self) -> Result<Result<String, CompletionError>, End> {
        let task = self.attempt.task;
        if let Some(branch) = &task.base_branch {
            return Ok(Ok(branch.clone()));
        }
        let mut pauses = PAUSES.iter();
        loop {
            let repositories = Arc::clone(&self.attempt.context().repositories);
            let (url, cancel) = (task.repository_url.clone(), self.threads.cancel().clone());
            match self.threads.run(move || repositories.fetch(&url, None, &cancel)).await? {
                Ok(fetched) => return Ok(fetched.branch_name.ok_or_else(no_base_branch)),
                Err(error) => match pauses.next() {
                    Some(pause) if !error.is_permanent() => tokio::time::sleep(*pause).await, // why: back-off
                    Some(_) | None => return Ok(Err(refused(&PushError::Repository(error)))),
                },
            }
        }
    }
}

fn not_opened(pushed: Completion, error: CompletionError) -> Completion {
    Completion { status: CompletionStatus::Failed, error: Some(error), ..pushed }
}
