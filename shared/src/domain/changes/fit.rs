//! Whether a changed task still holds together, where no field by itself tells.

use super::TaskField;
use crate::domain::secret::check_task_secrets;
use crate::domain::submission::check_caps;
use crate::domain::{Caps, FieldError, Task};

/// Names the first thing that does not fit about a task whose `changed` fields are new. What nobody has changed is left alone,
/// though it may be from a time with other rules.
pub(crate) fn unfit(task: &Task, changed: &[TaskField]) -> Option<FieldError> {
    let any = |fields: &[TaskField]| changed.iter().any(|field| fields.contains(field));
    let mut errors = Vec::new();
    if any(&[TaskField::Agent, TaskField::MaxCostUsd, TaskField::MaxTokens]) {
        let caps = Caps { max_cost_usd: task.max_cost_usd, max_tokens: task.max_tokens };
        check_caps(&task.agent, &caps, &mut errors);
    }
    if any(&[TaskField::Secrets, TaskField::Env]) {
        check_task_secrets(&task.secrets, &task.env, &mut errors);
    }
    errors.into_iter().next()
}
