//! The secrets that a task names, opened for its agent.

use std::collections::BTreeSet;

use makima_shared::domain::TaskSecret;
use makima_shared::store::{Fenced, StoredSecret};
use makima_shared::vault::{OpenError, Vault};
use tracing::warn;

use super::prepare::{accepted, here, unusable};
use super::{Attempt, End};
use crate::secrets::{Secret, Secrets};

/// Opens the secrets that the task names. A completion that is repeated needs none: no agent runs.
pub(super) async fn open(attempt: &Attempt<'_>) -> Result<Secrets, End> {
    let task = attempt.task;
    if task.secrets.is_empty() || task.completion_only {
        return Ok(Secrets::default());
    }
    let Some(vault) = &attempt.context().config.worker.vault else {
        let message = "the task names secrets, and this worker was started without MAKIMA_SECRETS_KEY";
        return Err(here("SECRETS_NOT_CONFIGURED", message.to_owned(), attempt));
    };
    let names: BTreeSet<_> = task.secrets.iter().map(TaskSecret::secret).collect();
    let names: Vec<_> = names.into_iter().map(str::to_owned).collect();
    let store = &attempt.context().store;
    let asking = || async { Ok(Fenced::Accepted(store.secrets_named(task.owner_id, &names).await?)) };
    let stored = accepted(attempt.insist(asking).await)?;
    let mut secrets = Vec::with_capacity(task.secrets.len());
    for asked in &task.secrets {
        let Some(found) = stored.iter().find(|found| found.name == asked.secret()) else {
            let message = format!("the secret {} does not exist any more", asked.secret());
            return Err(unusable("SECRET_NOT_FOUND", message, true));
        };
        secrets.push(open_one(attempt, vault, asked, found).await?);
    }
    Secrets::new(secrets).map_err(|error| unusable("SECRETS_TOO_LARGE", error.to_string(), true))
}

async fn open_one(
    attempt: &Attempt<'_>,
    vault: &Vault,
    asked: &TaskSecret,
    stored: &StoredSecret,
) -> Result<Secret, End> {
    let owner = attempt.task.owner_id;
    let value = vault.open(owner, &stored.name, &stored.sealed).map_err(|error| {
        let message = format!("the secret {} cannot be read: {error}", stored.name);
        match error {
            // Another worker may have the key.
            OpenError::UnknownKey => here("SECRET_NOT_READABLE", message, attempt),
            OpenError::Damaged => unusable("SECRET_NOT_READABLE", message, true),
        }
    })?;
    if !vault.is_current(&stored.sealed) {
        let sealed = vault.seal(owner, &stored.name, &value);
        // The key of before still opens it, so that nothing is lost if this is.
        if let Err(error) = attempt.context().store.secret_reseal(owner, stored, &sealed).await {
            warn!(error = &error as &dyn std::error::Error, "a secret was not sealed with the new key");
        }
    }
    Ok(Secret { env: asked.env().to_owned(), name: stored.name.clone(), value })
}
