//! What every measurement works with.

use std::path::PathBuf;

use makima_shared::domain::{Agent, CompletionAction, TaskSubmission};

use crate::client::Api;
use crate::options::Options;
use crate::progress::Progress;
use crate::scratch::Scratch;

/// A running stack, and the means to measure it.
pub(crate) struct Bench<'a> {
    pub(crate) options: &'a Options,
    pub(crate) scratch: &'a Scratch,
    pub(crate) progress: Progress,
    /// The repository of every task.
    pub(crate) repository: PathBuf,
    pub(crate) api: Api,
}

impl Bench<'_> {
    /// Returns a task with nothing but an agent: no dependencies, no push, no retry.
    pub(crate) fn task(&self, argv: Vec<String>) -> TaskSubmission {
        TaskSubmission {
            name: "bench".to_owned(),
            plan: "Take no time.".to_owned(),
            description: None,
            repository_url: self.repository.display().to_string(),
            base_branch: None,
            target_branch: None,
            agent: Agent::Command { argv },
            priority: None,
            depends_on: Vec::new(),
            parent_task_id: None,
            max_retries: Some(0),
            timeout_secs: None,
            checkpoint_interval_secs: None,
            run_at: None,
            env: Default::default(),
            completion_action: CompletionAction::None,
        }
    }

    /// Returns a task whose agent does nothing.
    pub(crate) fn no_op(&self) -> TaskSubmission {
        self.task(vec!["true".to_owned()])
    }
}
