//! What a client may ask for, and the check that turns it into a [`NewTask`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};

use super::labels::{MAX_LABELS, is_label, sorted_labels};
use super::{
    Agent, BranchName, CompletionAction, ContractId, Dependency, MergeStrategy, RepositoryUrl, TaskId,
    is_hidden,
};

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
    /// Not before this time, in the years 1970 to 9999.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at: Option<DateTime<Utc>>,
    /// Environment variables for the agent. Names that start with `MAKIMA_` are taken.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
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

    /// Takes a submission back from where it was stored after it had been checked.
    pub(crate) fn of_stored(submission: TaskSubmission) -> Self {
        let parents = submission.depends_on.iter().filter_map(|dependency| match dependency {
            Dependency::Task(id) => Some(*id),
            Dependency::Ref(_) => None,
        });
        Self { parents: parents.collect(), siblings: Vec::new(), submission }
    }
}

const MAX_NAME_CHARS: usize = 200;
const MAX_PLAN_BYTES: usize = 256 * 1024;
const MAX_DESCRIPTION_BYTES: usize = 16 * 1024;
const MAX_DEPENDENCIES: usize = 10_000;
const MAX_ENV_ENTRIES: usize = 100;
const MAX_ENV_BYTES: usize = 64 * 1024;
const MAX_TIMEOUT_SECS: i32 = 30 * 24 * 3600;
const MAX_INTERVAL_SECS: i32 = 24 * 3600;
/// What four digits can say, and PostgreSQL store.
const RUN_AT_YEARS: RangeInclusive<i32> = 1970..=9999;

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
            run_at: None,
            env: BTreeMap::new(),
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

    /// Checks every field. `refs` holds the places of the request's tasks.
    pub(super) fn check_in_bulk(
        mut self,
        policy: &SubmissionPolicy,
        refs: &HashMap<String, usize>,
    ) -> Result<NewTask, Vec<FieldError>> {
        let mut errors = Vec::new();
        self.check_texts(&mut errors);
        self.check_git(policy, &mut errors);
        self.check_numbers(&mut errors);
        self.check_env(&mut errors);
        self.agent.validate(&mut errors);
        self.check_labels(&mut errors);
        let (parents, siblings) = self.check_dependencies(refs, &mut errors);
        if errors.is_empty() { Ok(NewTask { submission: self, parents, siblings }) } else { Err(errors) }
    }

    fn check_labels(&mut self, errors: &mut Vec<FieldError>) {
        if self.labels.len() > MAX_LABELS {
            errors.push(FieldError::new("labels", "has more than 16 entries"));
        } else if !self.labels.iter().all(|label| is_label(label)) {
            let problem =
                "must be words of up to 63 letters, digits and ._:/=- that start with a letter or digit";
            errors.push(FieldError::new("labels", problem));
        }
        self.labels = sorted_labels(std::mem::take(&mut self.labels));
    }

    /// Brings the dependencies into one order, without repeats, and tells those that exist from those to be made.
    fn check_dependencies(
        &mut self,
        refs: &HashMap<String, usize>,
        errors: &mut Vec<FieldError>,
    ) -> (Vec<TaskId>, Vec<usize>) {
        if self.depends_on.len() > MAX_DEPENDENCIES {
            errors.push(FieldError::new("dependsOn", "names more than 10,000 tasks"));
            return Default::default();
        }
        if self.reference.as_ref().is_some_and(|name| !(1..=MAX_NAME_CHARS).contains(&name.chars().count())) {
            errors.push(FieldError::new("ref", "must have 1 to 200 characters"));
        }
        let unknown = |dependency: &&Dependency| match dependency {
            Dependency::Task(_) => false,
            Dependency::Ref(name) => !refs.contains_key(name),
        };
        if let Some((place, stranger)) =
            self.depends_on.iter().enumerate().find(|(_, dependency)| unknown(dependency))
        {
            let name: String = stranger.to_string().chars().filter(|c| !is_hidden(*c)).take(64).collect();
            let problem = format!("names \"{name}\", which is no task's id and no ref of this request");
            errors.push(FieldError::new(format!("dependsOn[{place}]"), problem));
        }
        self.depends_on = self.depends_on.drain(..).collect::<BTreeSet<_>>().into_iter().collect();
        let (mut parents, mut siblings) = (Vec::new(), Vec::new());
        for dependency in &self.depends_on {
            match dependency {
                Dependency::Task(id) => parents.push(*id),
                Dependency::Ref(name) => siblings.extend(refs.get(name)),
            }
        }
        (parents, siblings)
    }

    fn check_texts(&self, errors: &mut Vec<FieldError>) {
        check_name(&self.name, errors);
        if self.plan.trim().is_empty() {
            errors.push(FieldError::new("plan", "must not be empty"));
        }
        let texts = [
            ("plan", Some(&self.plan), MAX_PLAN_BYTES),
            ("description", self.description.as_ref(), MAX_DESCRIPTION_BYTES),
        ];
        for (field, text, limit) in texts {
            let Some(text) = text else { continue };
            if text.len() > limit {
                errors.push(FieldError::new(field, format!("is longer than {} KiB", limit / 1024)));
            } else if text.contains('\0') {
                errors.push(FieldError::new(field, "holds a NUL character"));
            }
        }
    }

    fn check_git(&self, policy: &SubmissionPolicy, errors: &mut Vec<FieldError>) {
        if let Err(problem) = RepositoryUrl::parse(&self.repository_url, policy.allow_local_repositories) {
            errors.push(FieldError::new("repositoryUrl", problem.to_string()));
        }
        for (field, branch) in [("baseBranch", &self.base_branch), ("targetBranch", &self.target_branch)] {
            if branch.as_deref().is_some_and(|name| BranchName::parse(name).is_none()) {
                errors.push(FieldError::new(field, "is no name that git allows for a branch"));
            }
        }
        if self.target_branch.is_some() && self.target_branch == self.base_branch {
            errors.push(FieldError::new(
                "targetBranch",
                "is the base branch: the result needs a branch of its own",
            ));
        }
    }

    fn check_numbers(&self, errors: &mut Vec<FieldError>) {
        let ranges = [
            ("priority", self.priority.map(i32::from), 0, 100),
            ("maxRetries", self.max_retries.map(i32::from), 0, 100),
            ("timeoutSecs", self.timeout_secs, 1, MAX_TIMEOUT_SECS),
            ("checkpointIntervalSecs", self.checkpoint_interval_secs, 1, MAX_INTERVAL_SECS),
        ];
        for (field, value, low, high) in ranges {
            if value.is_some_and(|number| !(low..=high).contains(&number)) {
                errors.push(FieldError::new(field, format!("must be a whole number from {low} to {high}")));
            }
        }
        if self.run_at.is_some_and(|time| !RUN_AT_YEARS.contains(&time.year())) {
            errors.push(FieldError::new("runAt", "must lie in the years 1970 to 9999"));
        }
    }

    fn check_env(&self, errors: &mut Vec<FieldError>) {
        let bytes: usize = self.env.iter().map(|(name, value)| name.len() + value.len()).sum();
        if self.env.len() > MAX_ENV_ENTRIES || bytes > MAX_ENV_BYTES {
            errors.push(FieldError::new("env", "has more than 100 entries or 64 KiB"));
            return;
        }
        for (name, value) in &self.env {
            let word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && !name.is_empty();
            let shown: String = name.chars().filter(|c| !is_hidden(*c)).take(64).collect();
            let field = format!("env.{shown}");
            if !word {
                errors.push(FieldError::new(field, "is no name of letters, digits and underscores"));
            } else if name.starts_with("MAKIMA_") {
                errors.push(FieldError::new(field, "starts with MAKIMA_, which makima sets itself"));
            } else if value.contains('\0') {
                errors.push(FieldError::new(field, "holds a NUL character"));
            }
        }
    }
}

/// Checks what people call something.
pub(super) fn check_name(name: &str, errors: &mut Vec<FieldError>) {
    if name.trim().is_empty() || name.chars().count() > MAX_NAME_CHARS {
        errors.push(FieldError::new("name", "must have 1 to 200 characters"));
    } else if name.chars().any(is_hidden) {
        errors.push(FieldError::new("name", "must be one line without control or format characters"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: SubmissionPolicy = SubmissionPolicy { allow_local_repositories: false };

    fn submission(changes: serde_json::Value) -> TaskSubmission {
        let mut body = serde_json::json!({
            "name": "tidy up", "plan": "tidy up", "repositoryUrl": "https://host/a.git",
            "agent": {"kind": "command", "argv": ["true"]},
        });
        for (key, value) in changes.as_object().unwrap() {
            body[key] = value.clone();
        }
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn each_bad_field_is_named() {
        let cases = [
            (serde_json::json!({"name": "a\nb"}), "name"),
            (serde_json::json!({"name": "a\u{202e}b"}), "name"),
            (serde_json::json!({"name": "a\u{2028}b"}), "name"),
            (serde_json::json!({"name": "a\u{200b}b"}), "name"),
            (serde_json::json!({"name": " "}), "name"),
            (serde_json::json!({"name": "x".repeat(201)}), "name"),
            (serde_json::json!({"plan": ""}), "plan"),
            (serde_json::json!({"plan": "a\u{0}"}), "plan"),
            (serde_json::json!({"plan": "x".repeat(256 * 1024 + 1)}), "plan"),
            (serde_json::json!({"repositoryUrl": "/local"}), "repositoryUrl"),
            (serde_json::json!({"baseBranch": "a..b"}), "baseBranch"),
            (serde_json::json!({"baseBranch": "a", "targetBranch": "a"}), "targetBranch"),
            (serde_json::json!({"priority": 101}), "priority"),
            (serde_json::json!({"timeoutSecs": 0}), "timeoutSecs"),
            (serde_json::json!({"runAt": "-262143-01-01T00:00:00Z"}), "runAt"),
            (serde_json::json!({"runAt": "1969-12-31T23:59:59Z"}), "runAt"),
            (serde_json::json!({"runAt": "+10000-01-01T00:00:00Z"}), "runAt"),
            (serde_json::json!({"agent": {"kind": "command", "argv": []}}), "agent.argv"),
            (serde_json::json!({"env": {"A B": "x"}}), "env.A B"),
            (serde_json::json!({"env": {"MAKIMA_PLAN": "x"}}), "env.MAKIMA_PLAN"),
        ];
        for (changes, field) in cases {
            let errors = submission(changes).check(&POLICY).unwrap_err();
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert_eq!(errors[0].field, field);
        }
    }

    #[test]
    fn names_of_any_language_and_times_of_our_age_are_taken() {
        for changes in [
            serde_json::json!({"name": "r\u{e9}parer \u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{1f980}"}),
            serde_json::json!({"runAt": "1970-01-01T00:00:00Z"}),
            serde_json::json!({"runAt": "9999-12-31T23:59:59Z"}),
        ] {
            submission(changes).check(&POLICY).unwrap();
        }
    }

    #[test]
    fn unknown_fields_are_refused() {
        let body = r#"{"name":"a","plan":"a","repositoryUrl":"https://h/a","agent":{"kind":"command","argv":["true"]},"prio":1}"#;
        let error = serde_json::from_str::<TaskSubmission>(body).unwrap_err();
        assert!(error.to_string().contains("unknown field `prio`"));
        let body = body.replace(r#","prio":1"#, "").replace(r#"["true"]"#, r#"["true"],"shell":1"#);
        assert!(serde_json::from_str::<TaskSubmission>(&body).is_err());
    }
}
