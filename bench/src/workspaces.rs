//! Workspaces and checkpoints, beside git's own commands on the same files in the same rounds.
//!
//! ```text
//!  repository ▶ a round: git's worktrees and snapshot, makima's workspaces and checkpoint, and so on ▶ agents
//! ```
//!
//! Nothing is removed between the rounds: where many files were just removed ext4 takes longer to make new ones.

mod agent_runs;
mod git;
mod ours;
mod tree;

use std::time::Duration;

use anyhow::Context;

use crate::floors::{Floor, Floors};
use crate::options::Options;
use crate::progress::Progress;
use crate::report::{Part, Row, thousands};
use crate::samples::Samples;
use crate::scratch::Scratch;
use crate::stack::{Shape, Stack};
use git::Git;
use ours::{Ours, Sink};
use tree::Tree;

/// The names of the measurements, for `--only`.
pub(crate) const NAMES: [&str; 2] = ["workspaces", "checkpointed-agent"];
pub(crate) const LARGE_NAMES: [&str; 1] = ["workspaces-large"];

/// How many files an agent changes.
const CHANGED: usize = 25;
/// About the size of the repository whose figures are in the design.
const TREE: Tree = Tree { files: 5_134, bytes: 63 << 20 };
const LARGE_TREE: Tree = Tree { files: 50_000, bytes: 63 << 20 };
/// For how long a tree is left alone before it is looked at: git needs a second to tell an index from its files.
const SETTLED: Duration = Duration::from_millis(1_100);
const ROUNDS: usize = 10;
const LARGE_ROUNDS: usize = 4;
/// Rounds that are not measured.
const WARM_UP: usize = 1;

/// What one round took.
#[derive(Default)]
struct Times {
    worktree: Vec<Duration>,
    status: Vec<Duration>,
    snapshot: Vec<Duration>,
    apply: Vec<Duration>,
    ready: Vec<Duration>,
    made: Vec<Duration>,
    unchanged: Vec<Duration>,
    changed: Vec<Duration>,
    restored: Vec<Duration>,
}

/// Measures on a repository of the usual size, and what checkpoints cost an agent.
pub(crate) async fn measure(
    options: &Options,
    scratch: &Scratch,
    progress: &Progress,
    running: &mut Option<Stack>,
) -> anyhow::Result<Part> {
    let stack = running.insert(Stack::spawn(options, scratch, &Shape::of_agents(1, 1))?);
    let api = stack.ready(1, progress).await?;
    let servers = stack.servers()?;
    let (mut rows, mut floors) = (Vec::new(), Floors::default());
    let directory = scratch.path().join("workspaces");
    if options.wants(NAMES[0]) {
        let sink = Sink::open(&servers).await?;
        let times = rounds(progress, &directory, TREE, ROUNDS, sink).await?;
        add_floors(&mut floors, &times);
        rows.extend(rows_of(times));
    }
    if options.wants(NAMES[1]) {
        rows.push(agent_runs::measure(&api, progress, &directory, &mut floors).await?);
    }
    let about = format!("A repository of {} files and {} MiB.", thousands(TREE.files), TREE.bytes >> 20);
    Ok(Part { title: "Workspaces", about, floors, rows })
}

/// Measures on a repository with ten times as many files.
pub(crate) async fn measure_large(
    options: &Options,
    scratch: &Scratch,
    progress: &Progress,
    running: &mut Option<Stack>,
) -> anyhow::Result<Part> {
    let stack = running.insert(Stack::spawn(options, scratch, &Shape::of_plane())?);
    stack.ready(0, progress).await?;
    let sink = Sink::open(&stack.servers()?).await?;
    let directory = scratch.path().join("workspaces-large");
    let count = if options.quick { 1 } else { LARGE_ROUNDS };
    let times = rounds(progress, &directory, LARGE_TREE, count, sink).await?;
    let mut floors = Floors::default();
    add_floors(&mut floors, &times);
    let about =
        format!("A repository of {} files and {} MiB.", thousands(LARGE_TREE.files), LARGE_TREE.bytes >> 20);
    Ok(Part { title: "Workspaces of a large repository", about, floors, rows: rows_of(times) })
}

/// Measures everything so many times, in turn. Blocking work goes to a thread of its own, so that Ctrl-C is heard.
async fn rounds(
    progress: &Progress,
    directory: &std::path::Path,
    tree: Tree,
    count: usize,
    mut sink: Sink,
) -> anyhow::Result<Times> {
    let phase = progress.phase("workspaces and checkpoints", count);
    let directory = directory.to_owned();
    let making = move || {
        tree.make(&directory.join("repository"))?;
        anyhow::Ok((Git::of(&directory)?, Ours::of(&directory)?))
    };
    let (mut git, mut ours) = tokio::task::spawn_blocking(making).await??;
    let mut times = Times::default();
    for round in 0..WARM_UP + count {
        let one = move || {
            let mut times = Times::default();
            let patch = git.round(&mut times)?;
            let checkpoint = ours.round(&mut times)?;
            anyhow::Ok((git, ours, times, patch, checkpoint))
        };
        let (back, ours_back, mut one, patch, checkpoint) = tokio::task::spawn_blocking(one).await??;
        (git, ours) = (back, ours_back);
        anyhow::ensure!(patch > 0, "git saw no change");
        let stored = sink.store(checkpoint).await.context("a checkpoint was not stored")?;
        for took in &mut one.changed {
            *took += stored;
        }
        if round >= WARM_UP {
            times.extend(one);
            phase.step();
        }
    }
    Ok(times)
}

impl Times {
    fn extend(&mut self, more: Self) {
        self.worktree.extend(more.worktree);
        self.status.extend(more.status);
        self.snapshot.extend(more.snapshot);
        self.apply.extend(more.apply);
        self.ready.extend(more.ready);
        self.made.extend(more.made);
        self.unchanged.extend(more.unchanged);
        self.changed.extend(more.changed);
        self.restored.extend(more.restored);
    }
}

fn add_floors(floors: &mut Floors, times: &Times) {
    let pairs = [
        (Floor::WorktreeAdd, &times.worktree),
        (Floor::GitStatus, &times.status),
        (Floor::GitSnapshot, &times.snapshot),
        (Floor::GitApply, &times.apply),
    ];
    for (floor, durations) in pairs {
        floors.add(floor, Samples::of_durations(durations.iter().copied()));
    }
}

fn rows_of(times: Times) -> Vec<Row> {
    const WORKTREE: &[(usize, Floor)] = &[(1, Floor::WorktreeAdd)];
    vec![
        Row::millis("workspace ready, one stood ready", times.ready, WORKTREE).bar("0.1 x"),
        Row::millis("workspace ready, none stood ready", times.made, WORKTREE).bar("1.2 x"),
        Row::millis("checkpoint, nothing changed", times.unchanged, &[(1, Floor::GitStatus)]).bar("0.5 x"),
        Row::millis("checkpoint, 25 files changed → stored", times.changed, &[(1, Floor::GitSnapshot)])
            .bar("0.7 x"),
        Row::millis("restore of 25 files, after ready", times.restored, &[(1, Floor::GitApply)]).bar("1.5 x"),
    ]
}
