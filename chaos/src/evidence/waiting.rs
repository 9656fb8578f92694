//! What a task that has not ended says it waits for.

use std::collections::HashMap;

use makima_shared::domain::TaskId;

use super::History;
use crate::ledger::AskedTask;
use crate::stack::Stack;

/// Asks the API for each task that has not ended; none where it names nothing.
pub(super) async fn ask(
    stack: &Stack,
    histories: &HashMap<TaskId, History>,
    asked: &HashMap<TaskId, AskedTask>,
) -> HashMap<TaskId, Option<String>> {
    let mut waiting = HashMap::new();
    for (task, history) in histories {
        if history.task.status.is_terminal() {
            continue;
        }
        let owner = asked.get(task).map_or(0, |asked| asked.owner);
        let answer = stack.client.task(owner, *task).await;
        let words = answer.ok().and_then(|answer| answer.body["waitingFor"].as_str().map(str::to_owned));
        waiting.insert(*task, words);
    }
    waiting
}
