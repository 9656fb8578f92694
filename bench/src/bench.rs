//! What every measurement works with.

use std::path::PathBuf;

use makima_shared::domain::{Agent, TaskSubmission};

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
        let repository = self.repository.display().to_string();
        let agent = Agent::Command { argv };
        TaskSubmission {
            max_retries: Some(0),
            ..TaskSubmission::new("bench".to_owned(), "Take no time.".to_owned(), repository, agent)
        }
    }

    /// Returns a task whose agent does nothing.
    pub(crate) fn no_op(&self) -> TaskSubmission {
        self.task(vec!["true".to_owned()])
    }
}
