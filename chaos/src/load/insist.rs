//! One submission, sent until an answer decides it.

use std::time::Duration;

use anyhow::Context;
use makima_shared::domain::TaskId;
use serde_json::Value;
use tokio::time::sleep;

use super::driver::Driver;
use crate::ledger::Fact;

/// How long the API is left alone after it failed.
const RETRY_PAUSE: Duration = Duration::from_millis(150);

/// A submission as it is sent, the same each time.
pub(crate) struct Submission {
    pub(crate) owner: usize,
    pub(crate) key: String,
    pub(crate) body: Value,
}

/// Submits until the answer is a task, a refusal, or nobody has the patience any more; each answer goes into the ledger.
pub(super) async fn submit(driver: &Driver, submission: &Submission) -> anyhow::Result<Option<TaskId>> {
    let Submission { owner, key, body } = submission;
    loop {
        let answer = driver.client.submit(*owner, key, body).await;
        if let Ok(answer) = &answer {
            let fact = Fact::Submitted {
                owner: *owner,
                key: key.clone(),
                status: answer.status,
                task: answer.task(),
                code: answer.code(),
            };
            driver.ledger.write(fact).await?;
            match answer.status {
                200 | 201 => return answer.task().map(Some).context("an answer names no task"),
                429 | 500.. => {}
                _ => return Ok(None),
            }
        }
        if wait(driver).await.is_none() {
            driver.ledger.write(Fact::Unanswered { owner: *owner, key: key.clone() }).await?;
            return Ok(None);
        }
    }
}

/// Asks for a task's end until that is answered.
pub(super) async fn stop(driver: &Driver, owner: usize, task: TaskId) -> anyhow::Result<Option<u16>> {
    driver.ledger.write(Fact::StopSent { task }).await?;
    loop {
        if let Ok(answer) = driver.client.stop(owner, task).await
            && answer.status < 500
        {
            driver.ledger.write(Fact::Stopped { task, status: answer.status }).await?;
            return Ok(Some(answer.status));
        }
        if wait(driver).await.is_none() {
            return Ok(None);
        }
    }
}

/// Waits before the next try; none once nobody has the patience any more.
async fn wait(driver: &Driver) -> Option<()> {
    // why: back-off before the next try
    driver.give_up.run_until_cancelled(sleep(RETRY_PAUSE)).await
}
