//! What becomes of the result of a task that ended well, and how that went.

use serde::{Deserialize, Serialize};

use super::transition::storable;

/// How many conflicting files are named.
const MAX_CONFLICTS: usize = 100;
/// The longest name of a file or address that is kept, in bytes.
const MAX_NAME_BYTES: usize = 1024;

/// What becomes of the result of a task that ended well.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "completion_action", rename_all = "lowercase")]
pub enum CompletionAction {
    /// It stays in the last checkpoint.
    #[default]
    None,
    /// It is pushed to a branch of its own.
    Push,
    /// It is merged into the base branch; pushed to a branch of its own where that cannot be.
    Merge,
    /// It is pushed to a branch of its own, with a pull request to the base branch.
    Pr,
}

/// How a result is merged into the base branch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "merge_strategy", rename_all = "lowercase")]
pub enum MergeStrategy {
    /// By a merge commit, also where the base branch has not moved.
    #[default]
    Merge,
    /// As one commit on the base branch.
    Squash,
}

impl MergeStrategy {
    /// Tells whether it is what holds where nobody says otherwise.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How the completion action of a task ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CompletionStatus {
    /// Nothing was to be done: no action was asked for, or the agent changed nothing.
    #[default]
    None,
    /// The result is on its branch.
    Pushed,
    /// The result is part of the base branch.
    Merged,
    /// The result is on its branch, and a pull request is open.
    PrOpened,
    /// The base branch has other changes in the same places. The result is on its branch.
    Conflict,
    /// The action went wrong.
    Failed,
}

/// What went wrong with a completion action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CompletionError {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
}

/// How the completion action of a task went. It never makes the task fail: the work is in its last checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Completion {
    /// How it ended.
    pub status: CompletionStatus,
    /// The branch of the remote that has the result: the base branch once it is merged, otherwise one of its own.
    #[serde(default)]
    pub branch: Option<String>,
    /// The commit of that branch; of a merge, the one that brought the result in.
    #[serde(default)]
    pub commit: Option<String>,
    /// Where the pull request can be looked at.
    #[serde(default)]
    pub pull_request_url: Option<String>,
    /// The files with conflicts, 100 at most.
    #[serde(default)]
    pub conflicts: Vec<String>,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<CompletionError>,
    /// The action can be repeated: it did not succeed, and the work that it is about is saved.
    #[serde(default)]
    pub can_retry: bool,
}

impl Completion {
    /// Bounds what a remote or an agent may have made long, and replaces what PostgreSQL cannot hold.
    pub(super) fn storable(mut self) -> Self {
        let short = |text: String| {
            let mut text = storable(text);
            text.truncate(text.floor_char_boundary(MAX_NAME_BYTES));
            text
        };
        self.conflicts.truncate(MAX_CONFLICTS);
        self.conflicts = self.conflicts.into_iter().map(short).collect();
        self.pull_request_url = self.pull_request_url.map(short);
        self.error = self.error.map(|error| CompletionError { message: storable(error.message), ..error });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_or_unfit_is_made_to_fit() {
        let error = CompletionError { code: "X".to_owned(), message: "\0".repeat(9000) };
        let conflicts = vec![format!("a\0{}", "ü".repeat(2000)); 300];
        let kept = Completion { conflicts, error: Some(error), ..Completion::default() }.storable();
        assert_eq!(kept.conflicts.len(), MAX_CONFLICTS);
        assert!(kept.conflicts.iter().all(|name| name.len() <= MAX_NAME_BYTES && !name.contains('\0')));
        assert!(kept.error.unwrap().message.len() <= 4096);
    }

    #[test]
    fn it_is_told_in_the_words_of_the_api() {
        let told = serde_json::to_value(Completion {
            status: CompletionStatus::PrOpened,
            pull_request_url: Some("https://host/pull/1".to_owned()),
            ..Completion::default()
        })
        .unwrap();
        assert_eq!(
            (&told["status"], &told["pullRequestUrl"]),
            (&"pr_opened".into(), &"https://host/pull/1".into())
        );
        assert_eq!(
            serde_json::from_str::<Completion>(r#"{"status":"none"}"#).unwrap(),
            Completion::default()
        );
    }
}
