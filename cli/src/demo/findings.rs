//! What the API says when all is over.

use std::collections::HashMap;

use chrono::TimeDelta;
use makima_shared::domain::{Attempt, Checkpoint, TaskId, Worker, WorkerId};

use super::graph::{Part, PerPart};
use super::journal::lines_added_by;
use super::kill::{JOURNAL, Kill};
use super::stack::Stack;
use crate::client::{Client, TaskDetail};

/// All of it.
pub(crate) struct Findings {
    pub(crate) tasks: PerPart<Told>,
    /// The workers that live at the end.
    pub(crate) workers: Vec<Worker>,
    /// What the kill cost; none if backend did not resume from a checkpoint.
    pub(crate) loss: Option<Loss>,
    pids: HashMap<WorkerId, i32>,
}

/// What is told of a task.
pub(crate) struct Told {
    pub(crate) detail: TaskDetail,
    /// Oldest first.
    pub(crate) checkpoints: Vec<Checkpoint>,
}

/// What the kill cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    /// Lines that the first attempt wrote in all.
    pub(crate) written: usize,
    /// Lines that the checkpoint holds which the second attempt began from.
    pub(crate) kept: usize,
    /// That checkpoint.
    pub(crate) checkpoint: i32,
    /// From that checkpoint to the kill.
    pub(crate) span: TimeDelta,
}

impl Loss {
    /// How many lines were lost.
    pub(crate) fn lines(&self) -> usize {
        self.written.saturating_sub(self.kept)
    }
}

impl Told {
    /// The checkpoints that an attempt took.
    pub(crate) fn checkpoints_of(&self, attempt: &Attempt) -> impl Iterator<Item = &Checkpoint> {
        self.checkpoints.iter().filter(|checkpoint| checkpoint.epoch == attempt.epoch)
    }
}

impl Findings {
    /// Asks for everything. `before` are the workers of the beginning.
    pub(crate) async fn gather(
        client: &Client,
        stack: &Stack,
        ids: &PerPart<TaskId>,
        kill: Option<&Kill>,
        before: &[Worker],
    ) -> anyhow::Result<Self> {
        let mut told = Vec::with_capacity(Part::ALL.len());
        for part in Part::ALL {
            let id = *ids.of(part);
            let detail = client.task(id).await?;
            let mut checkpoints = client.read_checkpoints(client.checkpoints_json(id).await?)?;
            checkpoints.sort_by_key(|checkpoint| checkpoint.number);
            told.push(Told { detail, checkpoints });
        }
        let mut told = told.into_iter();
        let tasks = PerPart::try_new(|_| told.next())?;
        let workers = stack.workers(client).await?;
        let known = before.iter().chain(&workers).chain(kill.map(|kill| &kill.worker));
        let pids = known.map(|worker| (worker.id, worker.pid)).collect();
        let loss = match kill {
            Some(kill) => loss(client, *ids.of(Part::Backend), tasks.of(Part::Backend), kill).await?,
            None => None,
        };
        Ok(Self { tasks, workers, loss, pids })
    }

    /// Names who made an attempt, with the process: the next life of a worker has the name of the last one.
    pub(crate) fn worker_of(&self, attempt: &Attempt) -> String {
        match self.pids.get(&attempt.worker_id) {
            Some(pid) => format!("{} (process {pid})", attempt.worker_name),
            None => attempt.worker_name.clone(),
        }
    }
}

async fn loss(client: &Client, id: TaskId, told: &Told, kill: &Kill) -> anyhow::Result<Option<Loss>> {
    let Some(number) = told.detail.attempts.get(1).and_then(|attempt| attempt.resumed_from) else {
        return Ok(None);
    };
    let Some(checkpoint) = told.checkpoints.iter().find(|checkpoint| checkpoint.number == number) else {
        return Ok(None);
    };
    let patch = client.checkpoint_patch(id, number).await?;
    let kept = lines_added_by(&String::from_utf8_lossy(&patch), JOURNAL);
    let span = (kill.at - checkpoint.created_at).max(TimeDelta::zero());
    Ok(Some(Loss { written: kill.journal.lines()?, kept, checkpoint: number, span }))
}
