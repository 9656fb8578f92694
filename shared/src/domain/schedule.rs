//! Cron schedules: what a client may ask for, and what comes of each due time.
//!
//! - `expression.rs`: what a cron expression means, in times that a clock on the wall shows.
//! - `recurrence.rs`: which moments those are in a time zone, over changes of its clocks too.
//! - `plan.rs`: what is to be done about a due time, in time or late.
//! - `stored.rs`: schedules and their runs as they are stored.

mod expression;
mod plan;
mod recurrence;
mod stored;

use serde::{Deserialize, Serialize};

use super::submission::{FieldError, NewTask, SubmissionPolicy, TaskSubmission, check_name};

pub use plan::DuePlan;
pub use recurrence::Recurrence;
pub use stored::{MissedRuns, RunOutcome, Schedule, ScheduleRun, ScheduleSummary};

/// The body of a new schedule. Unknown fields are refused.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScheduleSubmission {
    /// What people call the schedule: one line of up to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// When: `minute hour day-of-month month day-of-week`, a sixth field for seconds before them if wanted, or one of
    /// `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. Weekdays count from 0 or 7, both Sunday. Where the day of
    /// the month and the day of the week are both restricted, a day that matches either will do, as in every cron.
    #[schema(min_length = 1, max_length = 200, example = "30 2 * * MON-FRI")]
    pub cron: String,
    /// The time zone that the cron expression is meant in, by its name in the IANA database; `UTC` if none. A time that
    /// the clocks skip there runs at the first moment after, and one that they show twice runs once. An expression for
    /// every hour of the day follows the hours as they pass instead.
    #[serde(default = "utc")]
    #[schema(example = "Europe/Berlin")]
    pub time_zone: String,
    /// The task that each due time submits. It takes no `runAt`.
    pub task: TaskSubmission,
    /// What becomes of due times that passed while no scheduler was there: more than a minute late, that is.
    #[serde(default)]
    pub missed_runs: MissedRuns,
    /// Whether a due time submits its task although the one before has not ended; `true` if none. Otherwise it is
    /// skipped.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub allow_overlap: bool,
}

/// A schedule that was checked. Only [`ScheduleSubmission::check`] makes one.
#[derive(Clone, Debug)]
pub struct NewSchedule {
    pub(crate) name: String,
    pub(crate) cron: String,
    pub(crate) time_zone: String,
    pub(crate) recurrence: Recurrence,
    pub(crate) task: NewTask,
    pub(crate) missed_runs: MissedRuns,
    pub(crate) allow_overlap: bool,
}

impl ScheduleSubmission {
    /// Checks every field, those of the task too.
    ///
    /// # Errors
    /// Names each field that cannot be taken, and why.
    pub fn check(self, policy: &SubmissionPolicy) -> Result<NewSchedule, Vec<FieldError>> {
        let mut errors = Vec::new();
        check_name(&self.name, &mut errors);
        let recurrence = Recurrence::parse(&self.cron, &self.time_zone);
        let recurrence = recurrence.map_err(|problems| errors.extend(problems));
        if self.task.run_at.is_some() {
            errors.push(FieldError::new("task.runAt", "cannot be: the schedule says when"));
        }
        let of_task = |error: FieldError| FieldError::new(format!("task.{}", error.field), error.problem);
        let task = self.task.check(policy);
        let task = task.map_err(|problems| errors.extend(problems.into_iter().map(of_task)));
        let (Ok(recurrence), Ok(task), true) = (recurrence, task, errors.is_empty()) else {
            return Err(errors);
        };
        Ok(NewSchedule {
            name: self.name,
            cron: self.cron,
            time_zone: self.time_zone,
            recurrence,
            task,
            missed_runs: self.missed_runs,
            allow_overlap: self.allow_overlap,
        })
    }
}

fn utc() -> String {
    "UTC".to_owned()
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn submission(changes: Value) -> Result<ScheduleSubmission, serde_json::Error> {
        let mut body = json!({
            "name": "nightly", "cron": "30 2 * * *",
            "task": {
                "name": "tidy up", "plan": "tidy up", "repositoryUrl": "https://host/a.git",
                "agent": {"kind": "command", "argv": ["true"]},
            },
        });
        for (key, value) in changes.as_object().unwrap() {
            match body["task"].get_mut(key) {
                Some(field) if key != "name" => *field = value.clone(),
                _ => body[key] = value.clone(),
            }
        }
        serde_json::from_value(body)
    }

    fn check(changes: Value) -> Result<NewSchedule, Vec<FieldError>> {
        submission(changes).unwrap().check(&SubmissionPolicy { allow_local_repositories: false })
    }

    #[test]
    fn what_is_left_out_has_the_documented_defaults() {
        let schedule = check(json!({})).unwrap();
        assert_eq!(schedule.time_zone, "UTC");
        assert_eq!((schedule.missed_runs, schedule.allow_overlap), (MissedRuns::Skip, true));
        let policies = check(json!({"missedRuns": "runOnce", "allowOverlap": false})).unwrap();
        assert_eq!((policies.missed_runs, policies.allow_overlap), (MissedRuns::RunOnce, false));
    }

    #[test]
    fn each_bad_field_is_named_those_of_the_task_too() {
        let mut task = serde_json::to_value(submission(json!({})).unwrap().task).unwrap();
        task["runAt"] = json!("2026-01-01T00:00:00Z");
        let cases = [
            (json!({"name": "a\nb"}), "name"),
            (json!({"cron": "* * * *"}), "cron"),
            (json!({"timeZone": "Europe/Bonn"}), "timeZone"),
            (json!({"plan": " "}), "task.plan"),
            (json!({"agent": {"kind": "command", "argv": []}}), "task.agent.argv"),
            (json!({"task": task}), "task.runAt"),
        ];
        for (changes, field) in cases {
            let errors = check(changes).unwrap_err();
            assert_eq!(errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(), [field]);
        }
        let all = check(json!({"name": "", "cron": "", "timeZone": "", "plan": ""})).unwrap_err();
        assert_eq!(all.len(), 4, "{all:?}");
    }

    #[test]
    fn unknown_fields_are_refused() {
        assert!(submission(json!({"crom": "x"})).unwrap_err().to_string().contains("unknown field `crom`"));
        assert!(submission(json!({"missedRuns": "twice"})).is_err());
    }
}
