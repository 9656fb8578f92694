//! The way in for tasks, one or many: a repeated key, what the owner may submit, the store, and the hints.

use std::time::Duration;

use axum::http::StatusCode;
use makima_shared::domain::{NewTask, OwnerId, TaskId};
use makima_shared::store::{AcceptedTask, Store, SubmitError, Submitted};

use crate::auth::Submitter;
use crate::error::ErrorResponse;
use crate::state::AppState;

/// How long Redis may take to tell what an owner may submit, before it is let in.
const PATIENCE: Duration = Duration::from_millis(250);

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Asked<'a> {
    One(&'a NewTask),
    Many(&'a [NewTask]),
}

/// Accepts tasks and tells Redis of them. Returns their ids in order, with 200 if the same key and body made them before.
pub(crate) async fn accept(
    state: &AppState,
    submitter: Submitter,
    asked: Asked<'_>,
    key: Option<&str>,
) -> Result<(StatusCode, Vec<TaskId>), ErrorResponse> {
    let owner = submitter.owner;
    if submitter.per_minute.is_some()
        && let Some(key) = key
        && let Some(ids) = asked.submitted(&state.store, owner, key).await.map_err(|e| asked.refusal(e))?
    {
        return Ok((StatusCode::OK, ids));
    }
    let taken = take(state, submitter, asked.count()).await?;
    let answer = match asked.submit(&state.store, owner, key).await {
        Ok(Submitted::Created(created)) => {
            note(&created);
            let ids = created.iter().map(|task| task.id).collect();
            state.hints.tasks_accepted(created);
            // The word goes out before anything else is asked of PostgreSQL: a worker waits for it.
            tokio::task::yield_now().await;
            return Ok((StatusCode::CREATED, ids));
        }
        Ok(Submitted::Repeated(ids)) => Ok((StatusCode::OK, ids)),
        Err(error) => Err(asked.refusal(error)),
    };
    if let Some(taken) = taken {
        taken.give_back(state);
    }
    answer
}

fn note(created: &[AcceptedTask]) {
    match created {
        [task] => tracing::info!(task.id = %task.id, task.status = %task.status, "a task was submitted"),
        tasks => tracing::info!(tasks = tasks.len(), "tasks were submitted"),
    }
}

/// What was taken out of an owner's allowance.
struct Taken {
    owner: OwnerId,
    tasks: u32,
    per_minute: u32,
}

/// Takes tasks out of what an owner may submit. Without Redis everybody may: it counts, and decides nothing else.
async fn take(state: &AppState, submitter: Submitter, tasks: usize) -> Result<Option<Taken>, ErrorResponse> {
    let Submitter { owner, per_minute } = submitter;
    let Some(per_minute) = per_minute else { return Ok(None) };
    let tasks = u32::try_from(tasks).unwrap_or(u32::MAX);
    let answer = tokio::time::timeout(PATIENCE, state.queue.allowance_take(owner, tasks, per_minute)).await;
    match answer {
        Ok(Ok(None)) => Ok(Some(Taken { owner, tasks, per_minute })),
        Ok(Ok(Some(wait))) => {
            let seconds = u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
            let message =
                format!("tasks come too fast: {per_minute} a minute are allowed; try again in {seconds} s");
            Err(ErrorResponse::rate_limited(message, seconds))
        }
        Ok(Err(_)) | Err(_) => {
            tracing::warn!("Redis does not count submissions: they are let in");
            Ok(None)
        }
    }
}

impl Taken {
    /// Gives back what was taken for nothing.
    fn give_back(self, state: &AppState) {
        let queue = state.queue.clone();
        state.hints.track(async move {
            // What is lost here comes back with the minute.
            let _ = queue.allowance_give_back(self.owner, self.tasks, self.per_minute).await;
        });
    }
}

impl Asked<'_> {
    fn count(self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(tasks) => tasks.len(),
        }
    }

    async fn submitted(
        self,
        store: &Store,
        owner: OwnerId,
        key: &str,
    ) -> Result<Option<Vec<TaskId>>, SubmitError> {
        match self {
            Self::One(task) => store.task_submitted(owner, task, key).await,
            Self::Many(tasks) => store.tasks_submitted(owner, tasks, key).await,
        }
    }

    async fn submit(
        self,
        store: &Store,
        owner: OwnerId,
        key: Option<&str>,
    ) -> Result<Submitted, SubmitError> {
        match self {
            Self::One(task) => store.task_submit(owner, task, key).await,
            Self::Many(tasks) => store.tasks_submit(owner, tasks, key).await,
        }
    }

    /// Puts a refusal into words; of many tasks, the first one that it is about is named.
    fn refusal(self, error: SubmitError) -> ErrorResponse {
        let Self::Many(tasks) = self else { return error.into() };
        let place = match &error {
            SubmitError::DependencyNotFound(id) => tasks.iter().position(|task| task.waits_for(*id)),
            SubmitError::ParentNotFound(id) => tasks.iter().position(|task| task.is_part_of(*id)),
            SubmitError::SourceNotFound(id)
            | SubmitError::SourceElsewhere(id)
            | SubmitError::SourceCheckpointNotFound(id) => {
                tasks.iter().position(|task| task.continues_from(*id))
            }
            SubmitError::SecretNotFound(name) => tasks.iter().position(|task| task.names_secret(name)),
            SubmitError::IdempotencyMismatch | SubmitError::Store(_) => None,
        };
        let response = ErrorResponse::from(error);
        match place {
            Some(place) => response.within(&format!("tasks[{place}]")),
            None => response,
        }
    }
}
