//! The limits on a submission's fields, and the checks of all but where its work starts.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;

use chrono::Datelike;

use super::{FieldError, SubmissionPolicy, TaskSubmission};
use crate::domain::labels::{MAX_LABELS, is_label, sorted_labels};
use crate::domain::{AgentClient, BranchName, Dependency, RepositoryUrl, TaskId, is_hidden};

const MAX_NAME_CHARS: usize = 200;
const MAX_PLAN_BYTES: usize = 256 * 1024;
const MAX_DESCRIPTION_BYTES: usize = 16 * 1024;
const MAX_DEPENDENCIES: usize = 10_000;
const MAX_ENV_ENTRIES: usize = 100;
const MAX_ENV_BYTES: usize = 64 * 1024;
const MAX_TIMEOUT_SECS: i32 = 30 * 24 * 3600;
const MAX_INTERVAL_SECS: i32 = 24 * 3600;
const MAX_COST_USD: f64 = 1e6;
const MAX_TOKENS: i64 = 1_000_000_000_000;
/// What four digits can say, and PostgreSQL store.
const RUN_AT_YEARS: RangeInclusive<i32> = 1970..=9999;

impl TaskSubmission {
    /// Checks the labels, and adds the one of the agent's client, which no owner has to think of.
    pub(super) fn check_labels(&mut self, errors: &mut Vec<FieldError>) {
        let own = self.agent.client().map(AgentClient::label);
        self.labels.retain(|label| own != Some(label));
        if self.labels.len() > MAX_LABELS {
            errors.push(FieldError::new("labels", "has more than 16 entries"));
        } else if !self.labels.iter().all(|label| is_label(label)) {
            let problem =
                "must be words of up to 63 letters, digits and ._:/=- that start with a letter or digit";
            errors.push(FieldError::new("labels", problem));
        }
        self.labels.extend(self.agent.client().map(|client| client.label().to_owned()));
        self.labels = sorted_labels(std::mem::take(&mut self.labels));
    }

    /// Brings the dependencies into one order, without repeats, and tells those that exist from those to be made.
    pub(super) fn check_dependencies(
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

    pub(super) fn check_texts(&self, errors: &mut Vec<FieldError>) {
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

    pub(super) fn check_git(&self, policy: &SubmissionPolicy, errors: &mut Vec<FieldError>) {
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

    pub(super) fn check_numbers(&self, errors: &mut Vec<FieldError>) {
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
        if self.max_cost_usd.is_some_and(|usd| !(usd > 0.0 && usd <= MAX_COST_USD)) {
            errors.push(FieldError::new("maxCostUsd", "must be a number above 0, up to 1000000"));
        }
        if self.max_tokens.is_some_and(|tokens| !(1..=MAX_TOKENS).contains(&tokens)) {
            errors.push(FieldError::new("maxTokens", "must be a whole number from 1 to 1000000000000"));
        }
        if self.run_at.is_some_and(|time| !RUN_AT_YEARS.contains(&time.year())) {
            errors.push(FieldError::new("runAt", "must lie in the years 1970 to 9999"));
        }
    }

    pub(super) fn check_env(&self, errors: &mut Vec<FieldError>) {
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
pub(in crate::domain) fn check_name(name: &str, errors: &mut Vec<FieldError>) {
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
            (serde_json::json!({"agent": {"kind": "claude"}, "maxCostUsd": 0}), "maxCostUsd"),
            (serde_json::json!({"agent": {"kind": "claude"}, "maxCostUsd": 1e7}), "maxCostUsd"),
            (serde_json::json!({"agent": {"kind": "codex"}, "maxTokens": 0}), "maxTokens"),
            (serde_json::json!({"agent": {"kind": "codex"}, "maxCostUsd": 1}), "maxCostUsd"),
            (serde_json::json!({"maxTokens": 1}), "maxTokens"),
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
