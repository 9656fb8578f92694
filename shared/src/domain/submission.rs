//! What a client may ask for, and the check that turns it into a [`NewTask`].

mod caps;
mod checks;
mod start;

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::secret::check_task_secrets;
use super::{Agent, Caps, CompletionAction, ContractId, Dependency, MergeStrategy, TaskId, TaskSecret};
pub(super) use caps::check_caps;
pub(super) use checks::check_name;

/// The body of a submission. Unknown fields are refused.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskSubmission {
    /// What people call the task: one line of up to 200 characters, all of them visible or spaces.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// What to do, in words: up to 256 KiB.
    #[schema(min_length = 1)]
    pub plan: String,
    /// Anything else about it: up to 16 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The repository: an https, http or ssh URL, `user@host:path`, or an absolute path where that is allowed.
    pub repository_url: String,
    /// The branch to start from; the remote's default branch if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_branch: Option<String>,
    /// The branch to push the result to; `makima/<short id>-<name>` if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_branch: Option<String>,
    /// Who carries it out.
    pub agent: Agent,
    /// 0 to 100; higher goes first. 50 if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100)]
    pub priority: Option<i16>,
    /// A name for this task within a bulk submission: `dependsOn` of its other tasks may hold it.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub reference: Option<String>,
    /// Tasks that must be done before this one: up to 10,000 of the same owner, by their ids; in a bulk submission also by
    /// their `ref`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    /// The task that this one is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_task_id: Option<TaskId>,
    /// The contract that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract_id: Option<ContractId>,
    /// What a worker must offer to take it: up to 16 words of letters, digits and `._:/=-`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 16)]
    pub labels: Vec<String>,
    /// How often it is tried again after a failure: 0 to 100, 3 if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100)]
    pub max_retries: Option<i16>,
    /// How long one attempt may take, in seconds, up to 30 days; no limit if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub timeout_secs: Option<i32>,
    /// How often its work is saved, in seconds, up to a day; 30 if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub checkpoint_interval_secs: Option<i32>,
    /// What all attempts together may cost, in US dollars, as the client reckons; no limit if none. A task that reaches it is
    /// `interrupted`, and goes on with a higher one. Refused for an agent that tells no cost: `codex` and `command`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(exclusive_minimum = 0)]
    pub max_cost_usd: Option<f64>,
    /// How many tokens all attempts together may use, those out of the client's cache left out; no limit if none.
    /// Refused for an agent that tells none: `command`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub max_tokens: Option<i64>,
    /// Not before this time, in the years 1970 to 9999.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at: Option<DateTime<Utc>>,
    /// The task of the same owner and repository to go on from: from its last checkpoint, as it is when this task first
    /// starts, or, where that has expired, from the branch that it was pushed to. Whether that task is done by then makes no
    /// difference: name it in `dependsOn` as well to wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continue_from_task_id: Option<TaskId>,
    /// The state to start from, 40 hexadecimal digits: the `treeId` of a checkpoint of the task in `continueFromTaskId`, or,
    /// without one, the id of a commit that the repository has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 40, max_length = 40)]
    pub checkpoint_sha: Option<String>,
    /// Files and directories, up to 100 by their paths in the repository, to be brought over from that checkpoint of the task
    /// in `continueFromTaskId`. Nothing else of it is then: the work starts from this task's own branch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100)]
    pub copy_files: Vec<String>,
    /// Up to 50 globs, written as in `.gitignore`, of ignored files that checkpoints keep all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 50)]
    pub keep_ignored: Vec<String>,
    /// Environment variables for the agent. Names that start with `MAKIMA_` are taken.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Up to 20 secrets of the owner that the agent finds in its environment: each by its name, or with the variable that it
    /// is to be in, as `{"env": "ANTHROPIC_API_KEY", "secret": "anthropic"}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 20)]
    pub secrets: Vec<TaskSecret>,
    /// What becomes of the result; `none` if none.
    #[serde(default)]
    pub completion_action: CompletionAction,
    /// How it is merged, where it is; by a merge commit if none.
    #[serde(default, skip_serializing_if = "MergeStrategy::is_default")]
    pub merge_strategy: MergeStrategy,
}

/// What the operator allows.
#[derive(Clone, Copy, Debug)]
pub struct SubmissionPolicy {
    /// Paths of the workers' own machine as repositories.
    pub allow_local_repositories: bool,
}

/// A field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// The field, as the body names it.
    pub field: String,
    /// What is wrong, to be read behind the field's name.
    pub problem: String,
}

impl FieldError {
    /// Names a field and its problem.
    #[must_use]
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// A submission that was checked. Only [`TaskSubmission::check`] and [`super::BulkSubmission::check`] make one.
#[derive(Clone, Debug)]
pub struct NewTask {
    pub(crate) submission: TaskSubmission,
    /// The tasks that it waits for.
    pub(crate) parents: Vec<TaskId>,
    /// The tasks of the same request that it waits for, by their places.
    pub(crate) siblings: Vec<usize>,
}

impl NewTask {
    /// Tells whether the submission names a task as one to wait for.
    #[must_use]
    pub fn waits_for(&self, task: TaskId) -> bool {
        self.parents.contains(&task)
    }

    /// Tells whether the submission names a task as the one that it is a part of.
    #[must_use]
    pub fn is_part_of(&self, task: TaskId) -> bool {
        self.submission.parent_task_id == Some(task)
    }

    /// Tells whether the submission names a task as one to go on from.
    #[must_use]
    pub fn continues_from(&self, task: TaskId) -> bool {
        self.submission.continue_from_task_id == Some(task)
    }

    /// Tells whether the submission names a secret.
    #[must_use]
    pub fn names_secret(&self, name: &str) -> bool {
        self.submission.secrets.iter().any(|secret| secret.secret() == name)
    }

    /// Tells whether the submission names nothing that has to be there: no other task and no secret.
    pub(crate) fn names_nothing_else(&self) -> bool {
        let asked = &self.submission;
        self.parents.is_empty()
            && asked.parent_task_id.is_none()
            && asked.continue_from_task_id.is_none()
            && asked.secrets.is_empty()
    }

    /// Takes a submission back from where it was stored after it had been checked.
    pub(crate) fn of_stored(submission: TaskSubmission) -> Self {
        let parents = submission.depends_on.iter().filter_map(|dependency| match dependency {
            Dependency::Task(id) => Some(*id),
            Dependency::Ref(_) => None,
        });
        Self { parents: parents.collect(), siblings: Vec::new(), submission }
    }
}

impl TaskSubmission {
    /// Makes a submission that asks for nothing but what has to be given.
    #[must_use]
    pub fn new(name: String, plan: String, repository_url: String, agent: Agent) -> Self {
        Self {
            name,
            plan,
            description: None,
            repository_url,
            base_branch: None,
            target_branch: None,
            agent,
            priority: None,
            reference: None,
            depends_on: Vec::new(),
            parent_task_id: None,
            contract_id: None,
            labels: Vec::new(),
            max_retries: None,
            timeout_secs: None,
            checkpoint_interval_secs: None,
            max_cost_usd: None,
            max_tokens: None,
            run_at: None,
            continue_from_task_id: None,
            checkpoint_sha: None,
            copy_files: Vec::new(),
            keep_ignored: Vec::new(),
            env: BTreeMap::new(),
            secrets: Vec::new(),
            completion_action: CompletionAction::None,
            merge_strategy: MergeStrategy::default(),
        }
    }

    /// Checks every field of a task that is submitted by itself.
    ///
    /// # Errors
    /// Names each field that cannot be taken, and why.
    pub fn check(self, policy: &SubmissionPolicy) -> Result<NewTask, Vec<FieldError>> {
        if self.reference.is_some() {
            return Err(vec![FieldError::new("ref", "is for tasks of a bulk submission")]);
        }
        self.check_in_bulk(policy, &HashMap::new())
    }

    /// Checks every field, and that the agent can keep the caps. `refs` holds the places of the request's tasks.
    pub(super) fn check_in_bulk(
        self,
        policy: &SubmissionPolicy,
        refs: &HashMap<String, usize>,
    ) -> Result<NewTask, Vec<FieldError>> {
        let mut errors = Vec::new();
        let caps = Caps { max_cost_usd: self.max_cost_usd, max_tokens: self.max_tokens };
        check_caps(&self.agent, &caps, &mut errors);
        self.check_fields(policy, refs, errors)
    }

    /// Checks every field. `errors` are known already.
    pub(super) fn check_fields(
        mut self,
        policy: &SubmissionPolicy,
        refs: &HashMap<String, usize>,
        mut errors: Vec<FieldError>,
    ) -> Result<NewTask, Vec<FieldError>> {
        self.check_texts(&mut errors);
        self.check_git(policy, &mut errors);
        self.check_numbers(&mut errors);
        self.check_start(&mut errors);
        self.check_keep_ignored(&mut errors);
        self.check_env(&mut errors);
        check_task_secrets(&self.secrets, &self.env, &mut errors);
        self.agent.validate(&mut errors);
        self.check_labels(&mut errors);
        let (parents, siblings) = self.check_dependencies(refs, &mut errors);
        if errors.is_empty() { Ok(NewTask { submission: self, parents, siblings }) } else { Err(errors) }
    }
}
