//! The result as a part of the base branch.
//!
//! The base branch moves under the lease of the tip that was merged onto. When it moved meanwhile, the result is merged
//! onto the new tip, a few times. Every merge is noted before it is pushed, so that neither a reply that was lost nor a
//! worker that died merges the same work twice: the next try, here or on another worker, finds the noted commit in the
//! base branch.

use std::sync::Arc;

use makima_shared::domain::{Completion, CompletionError, CompletionStatus, MergeStrategy};
use tokio::time::sleep;
use tracing::{info, warn};

use super::{Delivery, PAUSES, failure, line, message, refused};
use crate::attempt::End;
use crate::attempt::prepare::accepted;
use crate::workspace::{Author, MergeRequest, Merged, PushError, Upstream, push_merge};

/// How often a result is merged onto a base branch that moves, or tried to be brought to a remote that does not answer.
const TRIES: usize = 5;

/// The base branch with the result in it.
struct Landed {
    branch: String,
    commit: String,
}

/// Why the result is not in the base branch.
struct NotLanded {
    status: CompletionStatus,
    conflicts: Vec<String>,
    error: CompletionError,
}

/// What one try came to.
enum Step {
    Landed(Landed),
    NotLanded(NotLanded),
    /// Another try may do better.
    Again(Refusal),
}

/// The tip that a result was merged onto, and what came of it.
struct Tried {
    branch: String,
    onto: String,
    merged: Merged,
}

/// A push that the remote refused.
struct Refusal {
    onto: String,
    error: PushError,
}

impl Delivery<'_> {
    /// Merges the result into the base branch. Where that cannot be, pushes it to the task's own branch, for people to
    /// merge.
    pub(super) async fn merge(&self) -> Result<Completion, End> {
        let problem = match self.land().await? {
            Ok(Landed { branch, commit }) => {
                info!(branch, commit, "merged");
                return Ok(Completion {
                    status: CompletionStatus::Merged,
                    branch: Some(branch),
                    commit: Some(commit),
                    ..Completion::default()
                });
            }
            Err(problem) => problem,
        };
        let (branch, error) = match self.push_branch().await? {
            Ok(branch) => (Some(branch), problem.error),
            Err(second) => {
                let message = format!("{}; nor is it pushed: {}", problem.error.message, line(&second));
                (None, CompletionError { message, ..problem.error })
            }
        };
        Ok(Completion {
            status: problem.status,
            branch,
            commit: Some(self.commit.clone()),
            conflicts: problem.conflicts,
            error: Some(error),
            ..Completion::default()
        })
    }

    async fn land(&self) -> Result<Result<Landed, NotLanded>, End> {
        let earlier = self.note(&self.commit).await?;
        // Only where nothing but the merge was left to be done are those of the same work.
        let mut known = if self.attempt.task.completion_only { earlier } else { Vec::new() };
        let mut refusal = None;
        for number in 0..TRIES {
            match self.land_once(&mut known, refusal.take()).await? {
                Step::Landed(landed) => return Ok(Ok(landed)),
                Step::NotLanded(problem) => return Ok(Err(problem)),
                Step::Again(again) => {
                    warn!(error = &again.error as &dyn std::error::Error, "not merged, trying again");
                    // A base branch that moved is merged onto at once.
                    if !is_about_the_tip(&again.error) {
                        sleep(PAUSES[number.min(PAUSES.len() - 1)]).await; // why: back-off before the next try
                    }
                    refusal = Some(again);
                }
            }
        }
        Ok(Err(match refusal {
            Some(Refusal { error, .. }) if !is_about_the_tip(&error) => NotLanded::failed(refused(&error)),
            Some(_) | None => {
                let message = format!("the base branch moved during each of {TRIES} tries");
                NotLanded::failed(failure("BASE_MOVED", message))
            }
        }))
    }

    /// Merges onto the base branch as it stands now, and pushes that.
    async fn land_once(&self, known: &mut Vec<String>, before: Option<Refusal>) -> Result<Step, End> {
        let Tried { branch, onto, merged } = match self.merge_onto_tip(known.clone()).await? {
            Ok(Some(tried)) => tried,
            Ok(None) => return Ok(Step::NotLanded(NotLanded::failed(no_base_branch()))),
            Err(error) => return Ok(Step::of_error(error, String::new())),
        };
        let commit = match merged {
            Merged::AlreadyIn(commit) => return Ok(Step::Landed(Landed { branch, commit })),
            Merged::Conflicts(files) => return Ok(Step::NotLanded(NotLanded::conflict(&branch, files))),
            Merged::Made(commit) => commit,
        };
        // The remote said no to the same tip before: it has not moved, so that was not the reason.
        if let Some(Refusal { error, .. }) = before.filter(|before| before.onto == onto)
            && is_about_the_tip(&error)
        {
            return Ok(Step::NotLanded(NotLanded::failed(refused(&error))));
        }
        self.note(&commit).await?;
        known.push(commit.clone());
        Ok(match self.push_to(&branch, &commit, &onto).await? {
            Ok(()) => Step::Landed(Landed { branch, commit }),
            Err(error @ PushError::Rejected { .. }) => Step::Again(Refusal { onto, error }),
            Err(error) => Step::of_error(error, onto),
        })
    }

    /// Notes a commit with the work that may be in the base branch from here on, and returns those of earlier attempts.
    async fn note(&self, commit: &str) -> Result<Vec<String>, End> {
        let (attempt, store) = (self.attempt, &self.attempt.context().store);
        let noting = || store.attempt_merging(attempt.key(), commit, self.is_saved);
        accepted(attempt.insist(noting).await)
    }

    /// Fetches the base branch and merges onto its tip; nothing if the remote names no branch.
    async fn merge_onto_tip(&self, known: Vec<String>) -> Result<Result<Option<Tried>, PushError>, End> {
        let task = self.attempt.task;
        let repositories = Arc::clone(&self.attempt.context().repositories);
        let (url, base, strategy) =
            (task.repository_url.clone(), task.base_branch.clone(), task.merge_strategy);
        let author = self.attempt.context().config.worker.commit_author.clone();
        let message = match strategy {
            MergeStrategy::Merge => format!("Merge {}\n\nMakima-Task: {}\n", task.name, task.id),
            MergeStrategy::Squash => message(self.attempt),
        };
        let (workspace, result, cancel) =
            (self.workspace.clone(), self.commit.clone(), self.threads.cancel().clone());
        let merging = self.threads.run(move || {
            let fetched =
                repositories.fetch(&url, base.as_deref(), &cancel).map_err(PushError::Repository)?;
            let Some(branch) = fetched.branch_name else { return Ok(None) };
            let author = Author { name: &author.name, email: &author.email };
            let onto = fetched.base_commit;
            let request = MergeRequest {
                result: &result,
                onto: &onto,
                known: &known,
                strategy,
                message: &message,
                author,
            };
            let upstream = Upstream { repositories: &repositories, url: &url, branch: base.as_deref() };
            let merged = upstream.merge(&workspace, &request)?;
            Ok(Some(Tried { branch, onto, merged }))
        });
        merging.await
    }

    async fn push_to(&self, branch: &str, commit: &str, onto: &str) -> Result<Result<(), PushError>, End> {
        let repositories = Arc::clone(&self.attempt.context().repositories);
        let task = self.attempt.task;
        let (url, base, workspace) =
            (task.repository_url.clone(), task.base_branch.clone(), self.workspace.clone());
        let (branch, commit, onto) = (branch.to_owned(), commit.to_owned(), onto.to_owned());
        let pushing = self.threads.run(move || {
            let remote = repositories.remote(&url).map_err(PushError::Repository)?;
            let upstream = Upstream { repositories: &repositories, url: &url, branch: base.as_deref() };
            upstream.push(&workspace, || push_merge(&workspace, &remote, &commit, &branch, &onto))
        });
        pushing.await
    }
}

/// Tells whether the remote answered and did not like what the branch was to be moved from or to.
fn is_about_the_tip(error: &PushError) -> bool {
    matches!(error, PushError::Rejected { .. }) && error.is_permanent()
}

pub(super) fn no_base_branch() -> CompletionError {
    failure("NO_BASE_BRANCH", "the remote's HEAD names no branch, and the task none either")
}

impl Step {
    fn of_error(error: PushError, onto: String) -> Self {
        if error.is_permanent() {
            Self::NotLanded(NotLanded::failed(refused(&error)))
        } else {
            Self::Again(Refusal { onto, error })
        }
    }
}

impl NotLanded {
    fn failed(error: CompletionError) -> Self {
        Self { status: CompletionStatus::Failed, conflicts: Vec::new(), error }
    }

    fn conflict(branch: &str, files: Vec<String>) -> Self {
        let message =
            format!("the branch `{branch}` has other changes in the same places of {}", named(&files));
        let error = failure("MERGE_CONFLICT", message);
        Self { status: CompletionStatus::Conflict, conflicts: files, error }
    }
}

fn named(files: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = files.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = files.len().saturating_sub(SHOWN);
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}
