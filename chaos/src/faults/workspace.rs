//! A worktree vanishes under its agent.

use std::path::Path;

use anyhow::Context;

use super::strike::Outcome;
use super::{Planned, Scope};
use crate::stack::Stack;

/// Deletes the tree of any attempt of any worker, beginning with the worker that the seed names.
pub(super) async fn delete(stack: &Stack, fault: &Planned) -> Outcome {
    let first = fault.choose(stack.workers.len());
    for step in 0..stack.workers.len() {
        let place = (first + step) % stack.workers.len();
        let name = stack.workers[place].role.name();
        let work = stack.scratch.worker(name).join("work");
        let trees: Vec<_> = directories(&work).iter().flat_map(|life| directories(life)).collect();
        if let Some(attempt) = trees.get(fault.choose(trees.len().max(1))) {
            let hit = tokio::fs::remove_dir_all(attempt.join("tree")).await.context("it resists or is gone");
            let attempt = attempt.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return (Scope::Worker(place), hit.map(|()| format!("{attempt} of {name}")));
        }
    }
    (Scope::Nothing, Err(anyhow::anyhow!("nothing runs")))
}

fn directories(path: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut all: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    all.sort();
    all
}
