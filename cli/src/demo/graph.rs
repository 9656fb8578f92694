//! The four tasks and what they depend on.
//!
//! ```text
//!          ┌─▶ backend ──┐
//!  plan ───┤             ├──▶ integrate
//!          └─▶ frontend ─┘
//! ```
//!
//! Each begins from the branch that the one before it pushed, so that the work itself travels along the edges.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use makima_shared::domain::{Agent, CompletionAction, TaskId, TaskSubmission};
use uuid::Uuid;

use crate::client::Client;

/// How often the work of a task is saved.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);
/// How long an agent rests after each line.
pub(crate) const LINE_PERIOD: Duration = Duration::from_millis(100);

/// A task of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Splits the work.
    Plan,
    /// Works on the server; its worker is killed.
    Backend,
    /// Works on the pages.
    Frontend,
    /// Joins what both have done.
    Integrate,
}

const LINES: &str = include_str!("agents/lines.sh");

impl Part {
    /// All of them, in an order in which each comes after those that it depends on.
    pub(crate) const ALL: [Self; 4] = [Self::Plan, Self::Backend, Self::Frontend, Self::Integrate];

    /// What people call the task.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Backend => "backend",
            Self::Frontend => "frontend",
            Self::Integrate => "integrate",
        }
    }

    /// What must be done before it.
    pub(crate) fn parents(self) -> &'static [Self] {
        match self {
            Self::Plan => &[],
            Self::Backend | Self::Frontend => &[Self::Plan],
            Self::Integrate => &[Self::Backend, Self::Frontend],
        }
    }

    /// The branch that it begins from.
    pub(crate) fn base_branch(self) -> &'static str {
        match self {
            Self::Plan => "main",
            Self::Backend | Self::Frontend => "demo/plan",
            Self::Integrate => "demo/backend",
        }
    }

    /// The branch that its result goes to; the last one leaves that to makima.
    fn target_branch(self) -> Option<&'static str> {
        match self {
            Self::Plan => Some("demo/plan"),
            Self::Backend => Some("demo/backend"),
            Self::Frontend => Some("demo/frontend"),
            Self::Integrate => None,
        }
    }

    /// How many lines it is to write, if that is what it does.
    pub(crate) fn lines(self) -> Option<usize> {
        match self {
            Self::Backend => Some(180),
            Self::Frontend => Some(200),
            Self::Plan | Self::Integrate => None,
        }
    }

    fn script(self) -> String {
        match self {
            Self::Plan => include_str!("agents/plan.sh").to_owned(),
            Self::Backend => LINES.to_owned() + include_str!("agents/backend.sh"),
            Self::Frontend => LINES.to_owned() + include_str!("agents/frontend.sh"),
            Self::Integrate => include_str!("agents/integrate.sh").to_owned(),
        }
    }

    fn plan(self) -> String {
        match self {
            Self::Plan => {
                let share =
                    |part: Self| part.lines().map(|lines| format!("{}: {lines} lines\n", part.name()));
                Self::ALL.into_iter().filter_map(share).collect()
            }
            Self::Backend => "Rebuild the server as docs/PLAN.md says.".to_owned(),
            Self::Frontend => "Rebuild the pages as docs/PLAN.md says.".to_owned(),
            Self::Integrate => {
                "Join the server and the pages, and look whether everything is there.".to_owned()
            }
        }
    }

    fn env(self) -> BTreeMap<String, String> {
        let branch = |part: Self| part.target_branch().unwrap_or_default().to_owned();
        match self {
            Self::Plan | Self::Backend | Self::Frontend => BTreeMap::new(),
            Self::Integrate => BTreeMap::from([
                ("BACKEND_BRANCH".to_owned(), branch(Self::Backend)),
                ("FRONTEND_BRANCH".to_owned(), branch(Self::Frontend)),
            ]),
        }
    }

    fn submission(self, origin: &Path, depends_on: Vec<TaskId>) -> TaskSubmission {
        let (name, repository) = (self.name().to_owned(), origin.display().to_string());
        let agent = Agent::command(vec!["sh".to_owned(), "-c".to_owned(), self.script()]);
        TaskSubmission {
            base_branch: Some(self.base_branch().to_owned()),
            target_branch: self.target_branch().map(str::to_owned),
            depends_on: depends_on.into_iter().map(Into::into).collect(),
            checkpoint_interval_secs: i32::try_from(INTERVAL.as_secs()).ok(),
            env: self.env(),
            completion_action: CompletionAction::Push,
            ..TaskSubmission::new(name, self.plan(), repository, agent)
        }
    }
}

/// One value for each task.
#[derive(Clone, Debug)]
pub(crate) struct PerPart<T>([T; 4]);

impl<T> PerPart<T> {
    /// Makes the values.
    pub(crate) fn new(make: impl FnMut(Part) -> T) -> Self {
        Self(Part::ALL.map(make))
    }

    /// Makes the values, each of which may be missing.
    pub(crate) fn try_new(make: impl FnMut(Part) -> Option<T>) -> anyhow::Result<Self> {
        let values: Option<Vec<T>> = Part::ALL.into_iter().map(make).collect();
        let values = values.and_then(|values| values.try_into().ok()).context("a task is missing")?;
        Ok(Self(values))
    }

    /// The value of a task.
    pub(crate) fn of(&self, part: Part) -> &T {
        &self.0[part as usize]
    }

    /// The value of a task, to be changed.
    pub(crate) fn of_mut(&mut self, part: Part) -> &mut T {
        &mut self.0[part as usize]
    }
}

/// Submits the whole graph, parents first.
pub(crate) async fn submit(client: &Client, origin: &Path) -> anyhow::Result<PerPart<TaskId>> {
    // Another demo over the same database must not get these tasks for its own.
    let run = Uuid::now_v7();
    let mut ids: Vec<TaskId> = Vec::with_capacity(Part::ALL.len());
    for part in Part::ALL {
        let parents = part.parents().iter().map(|parent| ids[*parent as usize]).collect();
        let key = format!("demo-{run}-{}", part.name());
        let answer = client.submit(&part.submission(origin, parents), &key).await?;
        let id = answer["id"].as_str().and_then(|text| text.parse().ok());
        ids.push(id.context("the answer to a submission has no id")?);
    }
    Ok(PerPart::new(|part| ids[part as usize]))
}

#[cfg(test)]
mod tests {
    use makima_shared::domain::SubmissionPolicy;

    use super::*;

    #[test]
    fn parents_stand_before_their_children_and_every_submission_is_one_that_the_api_takes() {
        for (place, part) in Part::ALL.into_iter().enumerate() {
            assert!(part as usize == place && part.parents().iter().all(|parent| (*parent as usize) < place));
            let submission = part.submission(Path::new("/tmp/origin.git"), Vec::new());
            submission.check(&SubmissionPolicy { allow_local_repositories: true }).unwrap();
        }
    }
}
