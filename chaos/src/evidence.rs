//! What the checks judge: the database's history, the ledger, the witness of the agents, the log of the remote's branches,
//! and what was left behind. Gathered once; the checks themselves look at nothing else.

mod history;
mod leftovers;
mod machine;
mod pushes;
mod registered;
mod waiting;
mod watch;
mod windows;
mod witness;

use std::collections::{BTreeMap, HashMap};

use makima_shared::domain::TaskId;
use tokio_util::sync::CancellationToken;

#[cfg(test)]
pub(crate) use history::TaskRow;
pub(crate) use history::{AttemptRow, History};
pub(crate) use leftovers::{Leftovers, left_by_ended_tasks, look_for_leftovers};
pub(crate) use pushes::Results;
pub(crate) use windows::Windows;
pub(crate) use witness::{Note, Noted, Witness};

use machine::MachineWatch;
use watch::DispatchWatch;

use crate::faults::Struck;
use crate::ledger::{AskedTask, Entry, Fact};
use crate::load::crons::CronRuns;
use crate::stack::Stack;

/// Everything that a run has left to judge it by.
pub(crate) struct Evidence {
    pub(crate) histories: HashMap<TaskId, History>,
    pub(crate) ledger: Vec<Entry>,
    /// What each task was asked to be.
    pub(crate) asked: HashMap<TaskId, AskedTask>,
    pub(crate) witness: Witness,
    pub(crate) windows: Windows,
    pub(crate) results: Results,
    /// What each task that has not ended says it waits for.
    pub(crate) waiting: HashMap<TaskId, Option<String>>,
    /// What came of the schedules.
    pub(crate) crons: Vec<CronRuns>,
    /// Rows whose owner is not their task's.
    pub(crate) foreign_rows: Vec<String>,
    /// Queued tasks that dispatch did not know for too long, as the watch saw it.
    pub(crate) missing_from_dispatch: Vec<String>,
    /// Workers that run and that makima does not know.
    pub(crate) unregistered: Vec<String>,
    /// Ends of roles that nobody asked for.
    pub(crate) ended_by_themselves: Vec<String>,
    pub(crate) leftovers: Leftovers,
}

/// What is watched while a run lasts.
#[derive(Clone, Default)]
pub(crate) struct Watches {
    dispatch: DispatchWatch,
    pub(crate) machine: MachineWatch,
}

impl Watches {
    /// Watches until it is told to stop.
    pub(crate) async fn run(self, stack: &Stack, over: &CancellationToken) {
        tokio::join!(self.dispatch.run(stack, over), self.machine.run(over));
    }
}

impl Evidence {
    /// Gathers all that can be had while the stack still runs. What is left behind is looked for later.
    pub(crate) async fn gather(
        stack: &Stack,
        ledger: Vec<Entry>,
        struck: &[Struck],
        watches: &Watches,
        crons: Vec<CronRuns>,
    ) -> anyhow::Result<Self> {
        let histories = history::load(&stack.pool).await?;
        let asked = asked(&ledger);
        Ok(Self {
            waiting: waiting::ask(stack, &histories, &asked).await,
            results: Results::read(&stack.remote, &histories).await?,
            witness: Witness::read(&stack.scratch.witness())?,
            windows: Windows::of(struck, &watches.machine.starved()),
            foreign_rows: history::foreign_rows(&stack.pool).await?,
            ended_by_themselves: Vec::new(),
            leftovers: Leftovers::default(),
            histories,
            crons,
            ledger,
            asked,
            missing_from_dispatch: watches.dispatch.found(),
            unregistered: registered::missing(stack).await,
        })
    }

    /// Counts the attempts by how they ended.
    pub(crate) fn attempts_by_outcome(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for attempt in self.histories.values().flat_map(|history| &history.attempts) {
            let outcome = attempt.outcome.map_or("Open".to_owned(), |outcome| format!("{outcome:?}"));
            *counts.entry(outcome).or_default() += 1;
        }
        counts
    }

    /// Returns what a task is called in reports.
    pub(crate) fn name(&self, task: TaskId) -> String {
        let name = self.histories.get(&task).map_or("unknown", |history| &history.task.name);
        format!("{} ({name})", task.short())
    }
}

fn asked(ledger: &[Entry]) -> HashMap<TaskId, AskedTask> {
    let tasks = ledger.iter().filter_map(|entry| match &entry.fact {
        Fact::Task { task, asked, .. } => Some((*task, asked.clone())),
        Fact::Submitted { .. }
        | Fact::Unanswered { .. }
        | Fact::StopSent { .. }
        | Fact::Stopped { .. }
        | Fact::StillRuns { .. } => None,
    });
    tasks.collect()
}
