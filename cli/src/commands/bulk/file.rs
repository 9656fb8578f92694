//! A file with tasks, and the requests that it makes.

use std::path::Path;

use anyhow::Context;
use serde_json::{Deserializer, Value};

use crate::failure::UsageError;

/// The most tasks of one request.
const MAX_TASKS: usize = 1000;
/// The largest part of a request's 16 MiB that its tasks take.
const MAX_BYTES: usize = 15 * 1024 * 1024;

/// Reads the tasks of a file, or of standard input.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Value>> {
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?
    } else {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
    };
    parse(&text)
}

/// Reads tasks one after the other, in an array, or as the API takes them.
fn parse(text: &str) -> anyhow::Result<Vec<Value>> {
    let mut tasks = Vec::new();
    for (place, value) in Deserializer::from_str(text).into_iter::<Value>().enumerate() {
        match value.map_err(|error| UsageError(format!("task {}: no JSON: {error}", place + 1)))? {
            Value::Array(several) => tasks.extend(several),
            Value::Object(mut whole)
                if whole.len() == 1 && whole.get("tasks").is_some_and(Value::is_array) =>
            {
                if let Some(Value::Array(several)) = whole.remove("tasks") {
                    tasks.extend(several);
                }
            }
            task
            @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                tasks.push(task);
            }
        }
    }
    match tasks.iter().position(|task| !task.is_object()) {
        Some(place) => Err(UsageError(format!("task {}: no JSON object", place + 1)).into()),
        None if tasks.is_empty() => Err(UsageError("there are no tasks in it".to_owned()).into()),
        None => Ok(tasks),
    }
}

/// Puts as many tasks into each request as it takes.
pub(super) fn requests(tasks: Vec<Value>) -> anyhow::Result<Vec<Vec<Value>>> {
    let mut requests: Vec<Vec<Value>> = Vec::new();
    let mut bytes = 0;
    for task in tasks {
        let size = serde_json::to_vec(&task)?.len();
        match requests.last_mut() {
            Some(request) if request.len() < MAX_TASKS && bytes + size <= MAX_BYTES => {
                bytes += size;
                request.push(task);
            }
            _ => {
                bytes = size;
                requests.push(vec![task]);
            }
        }
    }
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_an_array_and_a_body_are_read_alike() {
        let expected = vec![json!({"name": "a"}), json!({"name": "b"})];
        for text in [
            "{\"name\": \"a\"}\n\n{\"name\": \"b\"}\n",
            "[{\"name\": \"a\"}, {\"name\": \"b\"}]",
            "{\"tasks\": [{\"name\": \"a\"}, {\"name\": \"b\"}]}",
        ] {
            assert_eq!(parse(text).unwrap(), expected);
        }
        for text in ["", "[]", "{\"name\": ", "1", "[{}, 2]"] {
            assert!(parse(text).unwrap_err().is::<UsageError>(), "{text}");
        }
    }

    #[test]
    fn a_request_has_no_more_than_it_takes() {
        let sizes =
            |tasks: Vec<Value>| -> Vec<usize> { requests(tasks).unwrap().iter().map(Vec::len).collect() };
        assert_eq!(sizes(vec![json!({}); 2001]), [1000, 1000, 1]);
        assert_eq!(sizes(vec![json!({"plan": "x".repeat(6 * 1024 * 1024)}); 5]), [2, 2, 1]);
    }
}
