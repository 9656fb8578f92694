//! What an owner may change about a task that was submitted, the check of it, and which parts may change when.

mod field;
mod fit;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use super::{
    Agent, CompletionAction, ContractId, FieldError, MergeStrategy, SubmissionPolicy, Task, TaskId,
    TaskSecret, TaskSubmission, sorted_labels,
};
pub use field::TaskField;
pub(crate) use fit::unfit;

/// The body of a change. What is absent stays as it is; `null` takes away what a task may be without. What is given as it is
/// already counts as absent. The other fields are those of a submission, with the same limits.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskChanges {
    /// The task's `version` that the change was made for.
    pub version: i32,
    /// What people call the task.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// What to do, in words.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, min_length = 1)]
    pub plan: Option<String>,
    /// Anything else about it.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false)]
    pub description: Option<Option<String>>,
    /// The branch to start from, as long as no attempt has found its base commit.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false)]
    pub base_branch: Option<Option<String>>,
    /// The branch to push the result to.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false)]
    pub target_branch: Option<Option<String>>,
    /// Who carries it out.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Agent, required = false)]
    pub agent: Option<Agent>,
    /// 0 to 100; higher goes first.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i16, required = false, minimum = 0, maximum = 100)]
    pub priority: Option<i16>,
    /// The tasks that must be done before this one, all of them.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<TaskId>, required = false, max_items = 10_000)]
    pub depends_on: Option<Vec<TaskId>>,
    /// The contract that it is a part of.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ContractId>, required = false)]
    pub contract_id: Option<Option<ContractId>>,
    /// What a worker must offer to take it, all of it.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<String>, required = false, max_items = 16)]
    pub labels: Option<Vec<String>>,
    /// How often it is tried again after a failure: no less than it was already.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i16, required = false, minimum = 0, maximum = 100)]
    pub max_retries: Option<i16>,
    /// How long one attempt may take, in seconds.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i32>, required = false, minimum = 1)]
    pub timeout_secs: Option<Option<i32>>,
    /// How often its work is saved, in seconds.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i32, required = false, minimum = 1)]
    pub checkpoint_interval_secs: Option<i32>,
    /// What all attempts together may cost, in US dollars; refused for an agent that tells no cost.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, required = false)]
    pub max_cost_usd: Option<Option<f64>>,
    /// How many tokens all attempts together may use; refused for an agent that tells none.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>, required = false, minimum = 1)]
    pub max_tokens: Option<Option<i64>>,
    /// Not before this time.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DateTime<Utc>>, required = false)]
    pub run_at: Option<Option<DateTime<Utc>>>,
    /// Environment variables for the agent, all of them.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = BTreeMap<String, String>, required = false)]
    pub env: Option<BTreeMap<String, String>>,
    /// Secrets of the owner for the agent, all of them.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<TaskSecret>, required = false, max_items = 20)]
    pub secrets: Option<Vec<TaskSecret>>,
    /// What becomes of the result.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = CompletionAction, required = false)]
    pub completion_action: Option<CompletionAction>,
    /// How it is merged, where it is.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = MergeStrategy, required = false)]
    pub merge_strategy: Option<MergeStrategy>,
}

/// Reads a field that is there: a `null` is a value like any other.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(field: D) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

/// Changes of which every field was checked by itself. Only [`TaskChanges::check`] makes them.
#[derive(Clone, Debug)]
pub struct CheckedChanges(TaskChanges);

impl TaskChanges {
    /// Changes nothing yet.
    #[must_use]
    pub fn of_version(version: i32) -> Self {
        Self {
            version,
            name: None,
            plan: None,
            description: None,
            base_branch: None,
            target_branch: None,
            agent: None,
            priority: None,
            depends_on: None,
            contract_id: None,
            labels: None,
            max_retries: None,
            timeout_secs: None,
            checkpoint_interval_secs: None,
            max_cost_usd: None,
            max_tokens: None,
            run_at: None,
            env: None,
            secrets: None,
            completion_action: None,
            merge_strategy: None,
        }
    }

    /// Checks every field that is given by itself, as in a submission. Whether they fit what else the task is, its row tells.
    ///
    /// # Errors
    /// Names each field that cannot be taken, and why.
    pub fn check(mut self, policy: &SubmissionPolicy) -> Result<CheckedChanges, Vec<FieldError>> {
        let checked = self.as_submission().check_fields(policy, &HashMap::new(), Vec::new())?.submission;
        self.labels = self.labels.map(|_| checked.labels);
        self.depends_on =
            self.depends_on.map(|ids| ids.into_iter().collect::<BTreeSet<_>>().into_iter().collect());
        Ok(CheckedChanges(self))
    }

    /// Returns a submission that asks for what is given here, and for nothing else that could be wrong.
    fn as_submission(&self) -> TaskSubmission {
        let words = |given: &Option<String>| given.clone().unwrap_or_else(|| "unchanged".to_owned());
        let agent = self.agent.clone().unwrap_or(Agent::command(vec!["true".to_owned()]));
        let repository_url = "https://unchanged.invalid/".to_owned();
        TaskSubmission {
            description: self.description.clone().flatten(),
            base_branch: self.base_branch.clone().flatten(),
            target_branch: self.target_branch.clone().flatten(),
            priority: self.priority,
            depends_on: self.depends_on.iter().flatten().map(|id| (*id).into()).collect(),
            labels: self.labels.clone().unwrap_or_default(),
            max_retries: self.max_retries,
            timeout_secs: self.timeout_secs.flatten(),
            checkpoint_interval_secs: self.checkpoint_interval_secs,
            max_cost_usd: self.max_cost_usd.flatten(),
            max_tokens: self.max_tokens.flatten(),
            run_at: self.run_at.flatten(),
            env: self.env.clone().unwrap_or_default(),
            secrets: self.secrets.clone().unwrap_or_default(),
            ..TaskSubmission::new(words(&self.name), words(&self.plan), repository_url, agent)
        }
    }
}

impl CheckedChanges {
    pub(crate) fn version(&self) -> i32 {
        self.0.version
    }

    /// The tasks that it shall depend on, in order and without repeats, where that is given.
    pub(crate) fn depends_on(&self) -> Option<&[TaskId]> {
        self.0.depends_on.as_deref()
    }

    /// Writes what is given into a task, and returns the fields that are another now. The tasks that it depends on are no part
    /// of it.
    pub(crate) fn write(&self, task: &mut Task) -> Vec<TaskField> {
        let mut fields = Vec::new();
        let given = &self.0;
        set(TaskField::Name, &mut task.name, given.name.as_ref(), &mut fields);
        set(TaskField::Plan, &mut task.plan, given.plan.as_ref(), &mut fields);
        set(TaskField::Description, &mut task.description, given.description.as_ref(), &mut fields);
        set(TaskField::BaseBranch, &mut task.base_branch, given.base_branch.as_ref(), &mut fields);
        set(TaskField::TargetBranch, &mut task.target_branch, given.target_branch.as_ref(), &mut fields);
        let before = task.agent.clone();
        set(TaskField::Agent, &mut task.agent, given.agent.as_ref(), &mut fields);
        self.write_labels(&before, task, &mut fields);
        set(TaskField::Priority, &mut task.priority, given.priority.as_ref(), &mut fields);
        set(TaskField::ContractId, &mut task.contract_id, given.contract_id.as_ref(), &mut fields);
        set(TaskField::MaxRetries, &mut task.max_retries, given.max_retries.as_ref(), &mut fields);
        set(TaskField::TimeoutSecs, &mut task.timeout_secs, given.timeout_secs.as_ref(), &mut fields);
        let interval = given.checkpoint_interval_secs.as_ref();
        set(TaskField::CheckpointIntervalSecs, &mut task.checkpoint_interval_secs, interval, &mut fields);
        set(TaskField::MaxCostUsd, &mut task.max_cost_usd, given.max_cost_usd.as_ref(), &mut fields);
        set(TaskField::MaxTokens, &mut task.max_tokens, given.max_tokens.as_ref(), &mut fields);
        set(TaskField::RunAt, &mut task.run_at, given.run_at.as_ref(), &mut fields);
        set(TaskField::Env, &mut task.env, given.env.as_ref(), &mut fields);
        set(TaskField::Secrets, &mut task.secrets, given.secrets.as_ref(), &mut fields);
        let action = given.completion_action.as_ref();
        set(TaskField::CompletionAction, &mut task.completion_action, action, &mut fields);
        let strategy = given.merge_strategy.as_ref();
        set(TaskField::MergeStrategy, &mut task.merge_strategy, strategy, &mut fields);
        fields
    }

    /// The label of the agent's client goes and comes with the agent, and is no change of its own.
    fn write_labels(&self, before: &Agent, task: &mut Task, fields: &mut Vec<TaskField>) {
        let own = |agent: &Agent| agent.client().map(|client| client.label().to_owned());
        let (old, new) = (own(before), own(&task.agent));
        let mut asked = task.labels.clone();
        asked.retain(|label| old.as_ref() != Some(label));
        let given = self.0.labels.clone().map(|mut labels| {
            labels.retain(|label| new.as_ref() != Some(label));
            labels
        });
        set(TaskField::Labels, &mut asked, given.as_ref(), fields);
        asked.extend(new);
        task.labels = sorted_labels(asked);
    }
}

fn set<T: Clone + PartialEq>(
    field: TaskField,
    value: &mut T,
    given: Option<&T>,
    changed: &mut Vec<TaskField>,
) {
    if let Some(given) = given.filter(|given| **given != *value) {
        value.clone_from(given);
        changed.push(field);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(body: serde_json::Value) -> Result<CheckedChanges, Vec<FieldError>> {
        let changes: TaskChanges = serde_json::from_value(body).unwrap();
        changes.check(&SubmissionPolicy { allow_local_repositories: false })
    }

    #[test]
    fn null_takes_away_and_absence_leaves() {
        let changes = check(json!({"version": 1, "timeoutSecs": null, "name": "new"})).unwrap().0;
        assert_eq!((changes.timeout_secs, changes.run_at), (Some(None), None));
        let refused = serde_json::from_value::<TaskChanges>(json!({"version": 1, "name": null}));
        assert!(refused.is_err(), "a task has a name");
        assert!(serde_json::from_value::<TaskChanges>(json!({"name": "no version"})).is_err());
        let written =
            serde_json::to_value(TaskChanges { description: Some(None), ..TaskChanges::of_version(3) });
        assert_eq!(written.unwrap(), json!({"version": 3, "description": null}));
    }

    #[test]
    fn what_is_given_is_checked_as_in_a_submission() {
        let cases = [
            (json!({"name": "a\nb"}), "name"),
            (json!({"plan": " "}), "plan"),
            (json!({"priority": 101}), "priority"),
            (json!({"labels": ["two words"]}), "labels"),
            (json!({"agent": {"kind": "command", "argv": []}}), "agent.argv"),
            (json!({"env": {"MAKIMA_X": "1"}}), "env.MAKIMA_X"),
            (json!({"secrets": ["A", "A"]}), "secrets[1]"),
            (json!({"env": {"A": "1"}, "secrets": ["A"]}), "secrets[0]"),
            (json!({"baseBranch": "a", "targetBranch": "a"}), "targetBranch"),
        ];
        for (mut body, field) in cases {
            body["version"] = json!(1);
            assert_eq!(check(body).unwrap_err()[0].field, field);
        }
    }

    #[test]
    fn sets_are_put_in_order() {
        let (one, two) = (TaskId::new(), TaskId::new());
        let body = json!({"version": 1, "labels": ["b", "a", "b"], "dependsOn": [two, one, two]});
        let changes = check(body).unwrap();
        assert_eq!(changes.0.labels, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(changes.depends_on(), Some([one, two].as_slice()));
    }
}
