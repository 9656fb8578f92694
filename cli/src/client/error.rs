//! What can keep a client command from its answer, in words that say what to do.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use serde::Deserialize;

use crate::render::one_line;

/// Why there is no answer, or none that helps.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(
        "no makima to talk to: start one with `makima up`, or say which one with --url and --api-key, \
         MAKIMA_URL and MAKIMA_API_KEY, or --client FILE"
    )]
    NotConfigured,

    #[error("no key for {url}: give one with --api-key or MAKIMA_API_KEY (`makima keys create` makes one)")]
    NoKey { url: String },

    #[error("cannot read {}", path.display())]
    FileUnreadable { path: PathBuf, source: io::Error },

    #[error("{} is no client file: it takes {{\"url\": \"..\", \"apiKey\": \"..\"}}", path.display())]
    FileMalformed { path: PathBuf, source: serde_json::Error },

    #[error("'{url}' is no address of an API: use a form such as http://127.0.0.1:7420")]
    Url { url: String },

    #[error("the key must be one line of printable ASCII characters")]
    KeyMalformed,

    #[error("cannot set up HTTP")]
    Setup(#[source] reqwest::Error),

    /// Nobody answered, or the connection broke: whether a request was carried out is not known.
    #[error(
        "no answer from {url} ({reason}): is makima running there? `makima up` starts it on this machine"
    )]
    Unreachable { url: String, reason: String },

    #[error(
        "{url} does not know this key ({message}): give another with --api-key or MAKIMA_API_KEY; \
             `makima keys create` makes one"
    )]
    Unauthorized { url: String, message: String },

    #[error("{code}: {message} (the API itself is up; what stands behind it may be back in a moment)")]
    Unavailable { code: String, message: String },

    #[error("{code}: {message}")]
    Refused { code: String, message: String },

    #[error("{url} answered {status} with no word of makima's: is this the address of a makima API?")]
    NotMakima { url: String, status: u16 },

    #[error("the API at {url} answered in a form that this client does not know: are both of one version?")]
    Unknown { url: String, source: serde_json::Error },

    #[error("'{0}' is no id: give the whole id, or at least its last 4 hexadecimal digits")]
    IdMalformed(String),

    #[error("no {what}'s id ends with '{suffix}'")]
    IdUnknown { what: &'static str, suffix: String },

    #[error("more than one {what}'s id ends with '{suffix}': {}", candidates.join(", "))]
    IdAmbiguous { what: &'static str, suffix: String, candidates: Vec<String> },
}

impl ClientError {
    /// Tells whether the same request may do better in a moment.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unavailable { .. })
    }

    /// Returns what a passing failure is about, without the advice.
    pub(super) fn brief(&self) -> String {
        if let Self::Unreachable { reason, .. } = self {
            return format!("the connection is lost: {reason}");
        }
        if let Self::Unavailable { code, message } = self {
            return format!("{code}: {message}");
        }
        self.to_string()
    }

    /// Puts a failed exchange into words: the innermost cause says most.
    pub(super) fn unreachable(url: &str, error: &reqwest::Error) -> Self {
        let mut cause: &dyn Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let reason = if error.is_timeout() { "it took too long".to_owned() } else { cause.to_string() };
        Self::Unreachable { url: url.to_owned(), reason }
    }

    /// Reads an answer that is no success.
    pub(super) fn from_answer(url: &str, status: u16, body: &[u8]) -> Self {
        let url = url.to_owned();
        let Ok(Envelope { error: Body { code, message } }) = serde_json::from_slice(body) else {
            return match status {
                502..=504 => {
                    Self::Unavailable { code: status.to_string(), message: "no words with it".to_owned() }
                }
                _ => Self::NotMakima { url, status },
            };
        };
        // An error's words reach the terminal.
        let (code, message) = (one_line(&code), one_line(&message));
        match status {
            401 => Self::Unauthorized { url, message },
            502..=504 => Self::Unavailable { code, message },
            _ => Self::Refused { code, message },
        }
    }
}

#[derive(Deserialize)]
struct Envelope {
    error: Body,
}

#[derive(Deserialize)]
struct Body {
    code: String,
    message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(status: u16, body: &str) -> String {
        ClientError::from_answer("http://h", status, body.as_bytes()).to_string()
    }

    #[test]
    fn the_code_and_message_of_the_api_are_repeated() {
        let body = r#"{"error":{"code":"TASK_NOT_FOUND","message":"no such task"}}"#;
        assert_eq!(words(404, body), "TASK_NOT_FOUND: no such task");
    }

    #[test]
    fn the_words_of_a_server_cannot_steer_the_terminal() {
        let body = r#"{"error":{"code":"A\u001b[2J","message":"b\u202ec\nd"}}"#;
        assert_eq!(words(404, body), "A: bc d");
    }

    #[test]
    fn a_wrong_key_and_a_server_in_need_say_what_to_do() {
        let body = r#"{"error":{"code":"UNAUTHORIZED","message":"unknown key"}}"#;
        assert!(words(401, body).contains("makima keys create"));
        let body = r#"{"error":{"code":"STORE_UNAVAILABLE","message":"PostgreSQL is away"}}"#;
        assert!(words(503, body).contains("STORE_UNAVAILABLE: PostgreSQL is away (the API itself is up"));
        assert!(words(404, "<html>").contains("is this the address of a makima API?"));
    }
}
