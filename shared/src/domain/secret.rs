//! Secrets of an owner: what they may be called, what a value may be, and how a task asks for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::FieldError;

/// The shortest value, in bytes: to take shorter ones out of an agent's output would leave little of that.
pub const MIN_SECRET_BYTES: usize = 8;
/// The longest value, in bytes.
pub const MAX_SECRET_BYTES: usize = 32 * 1024;
/// How many secrets an owner may have.
pub const MAX_SECRETS_OF_OWNER: u32 = 100;
/// How many a task may name.
pub const MAX_SECRETS_OF_TASK: usize = 20;
const MAX_NAME_BYTES: usize = 128;

/// A secret in the clear. Its memory is wiped when it goes, and it is never written out by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Zeroizing<String>);

impl SecretValue {
    /// Takes a value that is fit to be a secret.
    ///
    /// # Errors
    /// What is wrong with it, to be read behind its field's name.
    pub fn parse(value: String) -> Result<Self, &'static str> {
        let value = Zeroizing::new(value);
        let visible = value.bytes().filter(|byte| !byte.is_ascii_whitespace()).count();
        if visible < MIN_SECRET_BYTES {
            Err(
                "must have at least 8 bytes that are not blank: shorter ones cannot be kept out of an agent's output",
            )
        } else if value.len() > MAX_SECRET_BYTES {
            Err("is longer than 32 KiB")
        } else if value.contains('\0') {
            Err("holds a NUL character")
        } else {
            Ok(Self(value))
        }
    }

    /// Takes back what was a secret before.
    pub(crate) fn of_opened(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// Returns the value in the clear.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretValue")
    }
}

/// A secret as its owner may see it: everything but the value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretSummary {
    /// Its name.
    pub name: String,
    /// When it was first set.
    pub created_at: DateTime<Utc>,
    /// When its value was set last.
    pub updated_at: DateTime<Utc>,
}

/// A secret that a task's agent finds in its environment: in a variable of the same name, or of another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged, expecting = "expected the name of a secret, or {\"env\": VARIABLE, \"secret\": NAME}")]
pub enum TaskSecret {
    /// The secret's name, which is the variable's too.
    Name(String),
    /// A variable and the secret in it.
    Variable(SecretVariable),
}

/// A variable of the agent's environment, and the secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretVariable {
    /// The variable.
    pub env: String,
    /// The secret's name.
    pub secret: String,
}

impl TaskSecret {
    /// Returns the variable that the agent finds it in.
    #[must_use]
    pub fn env(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Variable(variable) => &variable.env,
        }
    }

    /// Returns the secret's name.
    #[must_use]
    pub fn secret(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Variable(variable) => &variable.secret,
        }
    }
}

/// Tells what may be the name of a secret: letters, digits and underscores, like a variable's.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let starts_well = name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    starts_well && is_word && name.len() <= MAX_NAME_BYTES
}

/// Checks what a task asks for. `env` are the variables that it sets in the clear.
pub(super) fn check_task_secrets(
    secrets: &[TaskSecret],
    env: &BTreeMap<String, String>,
    errors: &mut Vec<FieldError>,
) {
    if secrets.len() > MAX_SECRETS_OF_TASK {
        return errors.push(FieldError::new("secrets", "has more than 20 entries"));
    }
    let mut taken: BTreeSet<&str> = env.keys().map(String::as_str).collect();
    for (place, secret) in secrets.iter().enumerate() {
        let problem = if !is_secret_name(secret.secret()) || !is_secret_name(secret.env()) {
            "is no name of letters, digits and underscores"
        } else if secret.env().starts_with("MAKIMA_") {
            "sets a variable that starts with MAKIMA_, which makima sets itself"
        } else if !taken.insert(secret.env()) {
            "sets a variable that is set already"
        } else {
            continue;
        };
        errors.push(FieldError::new(format!("secrets[{place}]"), problem));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_blank_and_endless_values_are_refused() {
        for (value, is_taken) in [
            ("12345678".to_owned(), true),
            ("1234567".to_owned(), false),
            (" ".repeat(100), false),
            ("two\nlines of it".to_owned(), true),
            ("1234\u{0}5678".to_owned(), false),
            ("x".repeat(MAX_SECRET_BYTES), true),
            ("x".repeat(MAX_SECRET_BYTES + 1), false),
        ] {
            assert_eq!(SecretValue::parse(value.clone()).is_ok(), is_taken, "{value:.20}");
        }
    }

    #[test]
    fn a_value_is_not_printed() {
        assert_eq!(format!("{:?}", SecretValue::parse("hunter2hunter2".to_owned())), "Ok(SecretValue)");
    }

    #[test]
    fn what_a_task_asks_for_is_checked() {
        let env = BTreeMap::from([("PLAIN".to_owned(), "x".to_owned())]);
        let check = |body: serde_json::Value| {
            let mut errors = Vec::new();
            let secrets: Vec<TaskSecret> = serde_json::from_value(body).unwrap();
            check_task_secrets(&secrets, &env, &mut errors);
            errors.into_iter().map(|error| error.field).collect::<Vec<_>>()
        };
        assert!(check(serde_json::json!(["A", {"env": "B", "secret": "A"}])).is_empty());
        assert_eq!(check(serde_json::json!(["A", "A"])), ["secrets[1]"]);
        assert_eq!(
            check(serde_json::json!(["PLAIN", "1A", "MAKIMA_X"])),
            ["secrets[0]", "secrets[1]", "secrets[2]"]
        );
        assert_eq!(check(serde_json::json!([{"env": "A B", "secret": "a"}])), ["secrets[0]"]);
        assert_eq!(check(serde_json::json!(vec!["A"; 21])), ["secrets"]);
        assert!(serde_json::from_value::<TaskSecret>(serde_json::json!({"env": "A", "value": "b"})).is_err());
    }
}
