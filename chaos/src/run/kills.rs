//! One agent's run on a real repository, killed with `kill -9` at random moments: what it leaves is what a run leaves that
//! nobody disturbs, to the byte.
//!
//! ```text
//!  copy of the repository ▶ run, left alone ▶ the same run, killed: strike ▶ resume ▶ strike .. ▶ compare
//! ```
//!
//! The agent (`agents/edits.sh`) makes numbered edits and notes them in the tree, so that another one goes on from there.
//! Compared are ids: of the pushed tree, of the last checkpoint's tree, of the agent's own commits and branches.

mod plan;
mod repository;
mod standing;
mod strike;
mod work;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use chrono::Utc;
use makima_shared::domain::TaskId;
use serde_json::json;
use tokio::time::{Instant, sleep};

use self::plan::Kill;
use self::standing::Standing;
use self::strike::strike;
use self::work::Work;
use super::Stage;
use crate::options::Kills;
use crate::remote::Remote;
use crate::stack::Stack;

const OWNER: usize = 0;
const PAUSE_SECS: &str = "0.2";
/// As many as a task may have: each kill costs one.
const MAX_RETRIES: u8 = 100;
/// A machine that is busy with other things may cost a worker its lease.
const UNDISTURBED_TRIES: u32 = 3;
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Far longer than the steps take that are left after the last kill.
const ENDS_WITHIN: Duration = Duration::from_secs(3600);

/// The agent's script.
fn script() -> String {
    format!("{}\n{}", include_str!("../agents/prologue.sh"), include_str!("../agents/edits.sh"))
}

/// How the two runs compare.
pub(super) struct Compared {
    summary: String,
    broken: Vec<String>,
}

impl Compared {
    /// Prints the end; the exit code tells whether the runs are equal.
    pub(super) fn publish(&self) -> ExitCode {
        self.broken.iter().for_each(|difference| println!("{difference}"));
        let word = if self.broken.is_empty() { "holds" } else { "BROKEN" };
        println!("{word}: {}", self.summary);
        if self.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// The runs' common ground.
struct Ground<'a> {
    stack: &'a Stack,
    remote: Remote,
    base: String,
    steps: u32,
    is_brief: bool,
}

/// How often a run was hit.
#[derive(Default)]
struct Hits {
    kills: usize,
    after_checkpoint: usize,
}

/// Lets the agent run alone, then again under kills, and compares.
pub(super) async fn play(stage: &Stage<'_>, asked: &Kills) -> anyhow::Result<Compared> {
    let stack = &stage.stack;
    let remote = repository::copy(stack.scratch.path(), asked).await?;
    let base = remote.git(&["rev-parse", "HEAD^{commit}"]).await?.trim().to_owned();
    let files = remote.git(&["ls-tree", "-r", "--name-only", &base]).await?.lines().count();
    let ground = Ground { stack, remote, base, steps: asked.steps, is_brief: stage.options.fleet.brief };
    let undisturbed = ground.undisturbed(files).await.context("the undisturbed run")?;
    let plan = Kill::all(stage.seed, asked.kills, asked.steps);
    let (killed, hits) = ground.under_kills(&plan).await.context("the run that was killed")?;
    let mut broken = killed.differences(&undisturbed, &ground.remote).await?;
    if hits.kills < plan.len() || hits.after_checkpoint == 0 {
        let Hits { kills, after_checkpoint } = hits;
        broken.push(format!("of {} kills {kills} hit, {after_checkpoint} after a checkpoint", plan.len()));
    }
    let summary = format!(
        "seed {}, {files} files, {} steps, {} kills ({} after a checkpoint): {killed}; undisturbed {undisturbed}",
        stage.seed, asked.steps, hits.kills, hits.after_checkpoint,
    );
    Ok(Compared { summary, broken })
}

impl Ground<'_> {
    async fn undisturbed(&self, files: usize) -> anyhow::Result<Work> {
        for number in 1..=UNDISTURBED_TRIES {
            let begun = Instant::now();
            let work = self.work(self.submit(&format!("undisturbed-{number}")).await?).await?;
            let (steps, secs) = (self.steps, begun.elapsed().as_secs_f64());
            let Work { checkpoints, attempts, .. } = work;
            self.say(&format!(
                "undisturbed: {steps} steps on {files} files in {secs:.1} s, {attempts} attempts, \
                 {checkpoints} checkpoints, {work}"
            ));
            if attempts == 1 {
                return Ok(work);
            }
        }
        bail!("the machine is too busy to leave it alone")
    }

    async fn under_kills(&self, plan: &[Kill]) -> anyhow::Result<(Work, Hits)> {
        let task = self.submit("killed").await?;
        let (began, mut hits) = (Utc::now(), Hits::default());
        for (place, kill) in plan.iter().enumerate() {
            let number = place + 1;
            let Some(killed) = strike(self.stack, task, *kill, number).await? else { break };
            hits.kills += 1;
            hits.after_checkpoint += usize::from(killed.had_checkpoint);
            let secs = (killed.at - began).as_seconds_f64();
            self.say(&format!("kill {number} at {secs:.1} s: {}", killed.story));
        }
        Ok((self.work(task).await?, hits))
    }

    fn say(&self, text: &str) {
        if !self.is_brief {
            println!("{text}");
        }
    }

    async fn submit(&self, name: &str) -> anyhow::Result<TaskId> {
        let body = json!({
            "name": name, "plan": "Edit.", "repositoryUrl": self.remote.url(), "completionAction": "push",
            "agent": {"kind": "command", "argv": ["sh", "-euc", script()]},
            "maxRetries": MAX_RETRIES, "checkpointIntervalSecs": 1,
            "env": {
                "CHAOS_WITNESS": self.stack.scratch.witness().display().to_string(),
                "CHAOS_BASE": self.base, "CHAOS_STEPS": self.steps.to_string(), "CHAOS_PAUSE": PAUSE_SECS,
            },
        });
        let answer = self.stack.client.submit(OWNER, name, &body).await?;
        ensure!(answer.status == 201, "the task was not taken: {}", answer.body);
        answer.task().context("an answer names no task")
    }

    /// Waits for the end of a run, and gathers what it has left.
    async fn work(&self, task: TaskId) -> anyhow::Result<Work> {
        let give_up = Instant::now() + ENDS_WITHIN;
        while !Standing::of(&self.stack.pool, task).await?.is_over {
            ensure!(Instant::now() < give_up, "it does not end");
            sleep(LOOK_EVERY).await; // why: nothing tells when a task ends
        }
        Work::of(&self.stack.pool, &self.remote, &self.base, task).await
    }
}
