//! What makima holds in memory for a running task besides its client: the own pages of the task's shim, the share of its
//! launcher, and what the worker has grown by. Measured while the clients wait for their model.

use std::fs::read_to_string;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use makima_scripted_model::Step;
use makima_worker::shim::ShimArgs;
use tokio::time::sleep;

use super::level::Level;
use super::{Around, SLOTS};
use crate::plane::processes::{self, Process};
use crate::report::Row;
use crate::samples::Samples;

/// How long everything rests before it is looked at: what was begun at the start of the tasks is over then.
const RESTS_FOR: Duration = Duration::from_secs(3);
const LAUNCHER: &str = "bwrap";
const GATE: &str = "memory";

/// What is held, in MiB.
#[derive(Clone, Copy, Debug)]
struct Held {
    shims: f64,
    launchers: f64,
    worker: f64,
}

/// Measures it with one running task, and with as many as the worker has slots.
pub(super) async fn measure(around: &Around<'_>) -> anyhow::Result<Vec<Row>> {
    let phase = around.bench.progress.phase("client: memory", SLOTS);
    let idle = look(around.stack_pid, 0).await?;
    let (mut tasks, mut rows) = (Vec::new(), Vec::new());
    for wanted in [1, SLOTS] {
        while tasks.len() < wanted {
            let task = around.task(&[Step::say("done").at(&gate(around.level))]);
            tasks.push(around.bench.api.submit(&task).await?);
            phase.step();
        }
        around.model.arrived(&gate(around.level), wanted).await;
        let held = look(around.stack_pid, wanted).await?;
        rows.extend(rows_of(around.level, wanted, &idle, &held));
    }
    around.model.open(&gate(around.level));
    stream::iter(tasks)
        .map(|task| around.bench.api.follow(task))
        .buffer_unordered(SLOTS)
        .try_collect::<Vec<_>>()
        .await?;
    Ok(rows)
}

/// A gate stays open.
fn gate(level: Level) -> String {
    format!("{GATE}-{}", level.setting())
}

fn rows_of(level: Level, tasks: usize, idle: &Held, held: &Held) -> Vec<Row> {
    let a_task = |mib: f64| Samples::of([mib / tasks as f64]);
    // A worker that has given memory back meanwhile has not grown.
    let growth = (held.worker - idle.worker).max(0.0);
    let all = held.shims + held.launchers + growth;
    let name = format!("{}: memory a task beside its agent, {tasks} running", level.words());
    let mut rows = vec![
        Row::mebibytes(name, a_task(all)),
        Row::mebibytes("· own pages of its shim", a_task(held.shims)),
        Row::mebibytes("· growth of the worker's own pages", a_task(growth)),
    ];
    if level == Level::Bubblewrap {
        rows.push(Row::mebibytes("· share of bwrap (PSS)", a_task(held.launchers)));
    }
    rows
}

/// Looks at the processes below the stack, once they rest.
async fn look(stack: u32, tasks: usize) -> anyhow::Result<Held> {
    sleep(RESTS_FOR).await; // why: see RESTS_FOR
    let all = processes::below(stack)?;
    let called =
        |process: &Process, word: &str| process.arguments().first().is_some_and(|first| first == word);
    let worker = all.iter().find(|process| called(process, "worker")).context("there is no worker")?;
    let shims: Vec<_> = all.iter().filter(|process| called(process, ShimArgs::COMMAND)).collect();
    ensure!(shims.len() == tasks, "{tasks} tasks run, but {} shims", shims.len());
    let launchers = all.iter().filter(|process| process.name == LAUNCHER);
    Ok(Held {
        shims: shims.iter().map(|shim| own_mib(shim)).sum::<anyhow::Result<f64>>()?,
        launchers: launchers.map(|launcher| mib(launcher, &["Pss:"])).sum::<anyhow::Result<f64>>()?,
        worker: own_mib(worker)?,
    })
}

/// Returns what would be free without the process.
fn own_mib(process: &Process) -> anyhow::Result<f64> {
    mib(process, &["Private_Clean:", "Private_Dirty:"])
}

/// Adds up lines of a process's memory.
fn mib(process: &Process, names: &[&str]) -> anyhow::Result<f64> {
    let rollup = read_to_string(format!("/proc/{}/smaps_rollup", process.pid))?;
    let kib = names.iter().map(|name| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        let line = line.with_context(|| format!("no {name} in smaps_rollup"))?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()?)
    });
    Ok(kib.sum::<anyhow::Result<f64>>()? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_pages_of_its_own() {
        let own = processes::one(std::process::id()).unwrap();
        assert!(own_mib(&own).unwrap() > 0.1);
    }
}
