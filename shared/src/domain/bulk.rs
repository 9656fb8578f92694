//! Many tasks in one request, which may wait for each other.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::submission::{FieldError, NewTask, SubmissionPolicy, TaskSubmission};

/// The most tasks of one request.
const MAX_TASKS: usize = 1000;
/// The most dependencies that all tasks of a request name together.
const MAX_EDGES: usize = 20_000;
/// How many problems are told at once.
const MAX_ERRORS: usize = 50;

/// The body of a bulk submission. All of its tasks are taken, or none.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BulkSubmission {
    /// Up to 1,000 tasks. `dependsOn` of one may name another by its `ref`.
    #[schema(min_items = 1, max_items = 1000)]
    pub tasks: Vec<TaskSubmission>,
}

impl BulkSubmission {
    /// Checks every task, and that they do not wait for each other in a circle.
    ///
    /// # Errors
    /// Names the fields that cannot be taken as `tasks[3].name`, the first 50 of them.
    pub fn check(self, policy: &SubmissionPolicy) -> Result<Vec<NewTask>, Vec<FieldError>> {
        if self.tasks.is_empty() || self.tasks.len() > MAX_TASKS {
            return Err(vec![FieldError::new("tasks", "must have 1 to 1,000 entries")]);
        }
        if self.tasks.iter().map(|task| task.depends_on.len()).sum::<usize>() > MAX_EDGES {
            return Err(vec![FieldError::new("tasks", "name more than 20,000 dependencies together")]);
        }
        let names = refs(&self.tasks)?;
        let mut errors = Vec::new();
        let mut tasks = Vec::with_capacity(self.tasks.len());
        for (index, task) in self.tasks.into_iter().enumerate() {
            match task.check_in_bulk(policy, &names) {
                Ok(task) => tasks.push(task),
                Err(found) => errors.extend(found.into_iter().map(|error| at(index, error))),
            }
            if errors.len() >= MAX_ERRORS {
                break;
            }
        }
        errors.truncate(MAX_ERRORS);
        if !errors.is_empty() {
            return Err(errors);
        }
        match in_a_circle(&tasks) {
            Some(index) => Err(vec![at(
                index,
                FieldError::new("dependsOn", "leads back to the task itself: it could never run"),
            )]),
            None => Ok(tasks),
        }
    }
}

fn at(index: usize, error: FieldError) -> FieldError {
    FieldError { field: format!("tasks[{index}].{}", error.field), ..error }
}

/// Returns where the task of each `ref` stands.
fn refs(tasks: &[TaskSubmission]) -> Result<HashMap<String, usize>, Vec<FieldError>> {
    let mut names = HashMap::new();
    for (index, task) in tasks.iter().enumerate() {
        if let Some(name) = &task.reference
            && names.insert(name.clone(), index).is_some()
        {
            return Err(vec![at(index, FieldError::new("ref", "stands at two tasks"))]);
        }
    }
    Ok(names)
}

/// Finds a task that waits for itself, by way of others or not: one that is left when all that wait for nothing are taken
/// away again and again (Kahn, "Topological sorting of large networks", 1962).
fn in_a_circle(tasks: &[NewTask]) -> Option<usize> {
    let mut children = vec![Vec::new(); tasks.len()];
    let mut waits_for: Vec<usize> = tasks.iter().map(|task| task.siblings.len()).collect();
    for (index, task) in tasks.iter().enumerate() {
        for &parent in &task.siblings {
            children[parent].push(index);
        }
    }
    let mut free: Vec<usize> = (0..tasks.len()).filter(|&index| waits_for[index] == 0).collect();
    while let Some(index) = free.pop() {
        for &child in &children[index] {
            waits_for[child] -= 1;
            if waits_for[child] == 0 {
                free.push(child);
            }
        }
    }
    waits_for.iter().position(|&count| count > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(tasks: &[Value]) -> Result<Vec<NewTask>, Vec<FieldError>> {
        let tasks: Vec<Value> = tasks
            .iter()
            .map(|changes| {
                let mut task = json!({"name": "a", "plan": "a", "repositoryUrl": "https://h/a",
                    "agent": {"kind": "command", "argv": ["true"]}});
                for (key, value) in changes.as_object().unwrap() {
                    task[key] = value.clone();
                }
                task
            })
            .collect();
        let bulk: BulkSubmission = serde_json::from_value(json!({ "tasks": tasks })).unwrap();
        bulk.check(&SubmissionPolicy { allow_local_repositories: false })
    }

    #[test]
    fn tasks_may_wait_for_earlier_and_later_ones() {
        let tasks = check(&[
            json!({"ref": "last", "dependsOn": ["first", "middle"]}),
            json!({"ref": "middle", "dependsOn": ["first"]}),
            json!({"ref": "first"}),
        ])
        .unwrap();
        assert_eq!(tasks[0].siblings, [2, 1]);
    }

    #[test]
    fn what_cannot_be_taken_is_named_with_its_place() {
        let cases = [
            (vec![json!({}), json!({"name": ""})], "tasks[1].name"),
            (vec![json!({"ref": "a"}), json!({"ref": "a"})], "tasks[1].ref"),
            (vec![json!({"dependsOn": ["nobody"]})], "tasks[0].dependsOn[0]"),
            (vec![json!({"ref": "a", "dependsOn": ["a"]})], "tasks[0].dependsOn"),
            (
                vec![json!({"ref": "a", "dependsOn": ["b"]}), json!({"ref": "b", "dependsOn": ["a"]})],
                "tasks[0].dependsOn",
            ),
            (vec![], "tasks"),
        ];
        for (tasks, field) in cases {
            assert_eq!(check(&tasks).unwrap_err()[0].field, field);
        }
    }

    #[test]
    fn no_more_problems_are_told_than_a_person_reads() {
        assert_eq!(check(&vec![json!({"name": ""}); 1000]).unwrap_err().len(), MAX_ERRORS);
    }
}
