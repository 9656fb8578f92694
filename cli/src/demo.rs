//! `makima demo`: the main job, so that a person can watch it and be convinced.
//!
//! ```text
//!  directory ─▶ repository ─▶ makima up ─▶ submit 4 tasks ─▶ watch, kill a worker ─▶ report ─▶ checks ─▶ nothing left
//! ```
//!
//! The demo is a client: it starts `makima up` as a process of its own and knows of the tasks only what the API and git
//! say. What it adds is the kill, and the files of one agent read on the disk, to compare.
//!
//! Invariants: it signals only processes that it started; whatever happens (a failure, Ctrl-C), the stack is stopped; the
//! directory is removed, unless something failed that its files explain.

mod board;
mod checks;
mod ending;
mod findings;
mod git;
mod graph;
mod journal;
mod kill;
mod leftovers;
mod performance;
mod report;
mod repository;
mod sandbox;
mod signals;
mod stack;
mod stage;
mod verdict;
mod view;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use console::style;
use tokio::time::timeout;

use crate::failure;
use ending::{clear, conclude};
use findings::Findings;
use git::Git;
use graph::{Part, PerPart};
use signals::Signals;
use stack::{Stack, WORKERS};
use stage::Stage;
use verdict::Verdict;
use view::View;

/// A demo that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs the demo. The exit code is 0 only if everything was as it should be.
pub(crate) async fn run() -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let view = View::new();
    let stage = Stage::make()?;
    let mut stack = None;
    let mut verdict = Verdict::new(&view);
    let played = tokio::select! {
        played = timeout(PATIENCE, Box::pin(play(&stage, &view, &mut stack, &mut verdict))) => match played {
            Ok(played) => played,
            Err(_elapsed) => Err(anyhow::anyhow!("the demo did not end within {} s", PATIENCE.as_secs())),
        },
        signal = signals.next() => {
            view.close();
            view.step(&format!("{signal}: stopping"));
            clear(stack, &stage, &view, None).await;
            if stage.remove().await {
                view.step("stopped; nothing is left");
            }
            return Ok(failure::ended_by(signal));
        }
    };
    view.close();
    if let Err(error) = &played {
        verdict.check(false, &format!("the demo went through: {}", failure::chain(error.as_ref())));
    }
    view.line(&style("  - stopping everything").dim().to_string());
    clear(stack, &stage, &view, Some(&mut verdict)).await;
    Ok(conclude(stage, &view, verdict).await)
}

/// Everything from the repository to the checks.
async fn play(
    stage: &Stage,
    view: &View,
    stack: &mut Option<Stack>,
    verdict: &mut Verdict<'_>,
) -> anyhow::Result<()> {
    view.step(&format!("everything takes place in {}", stage.path().display()));
    let made = repository::make(stage).await.context("cannot make the repository")?;
    view.step(&format!(
        "made a repository: {} files, {} commits, origin.git to push to",
        made.files, made.commits
    ));
    view.step("starting makima up: PostgreSQL, Redis, the API, a scheduler and three workers");
    let sandbox = sandbox::choose(stage).await?;
    view.step(sandbox::in_words(sandbox));
    let stack = stack.insert(Stack::start(stage, sandbox)?);
    let client = stack.ready().await?;
    let workers = stack.workers(&client).await?;
    view.step(&format!("{} answers, {WORKERS} workers are there", client.url()));
    let ids = graph::submit(&client, &stage.origin()).await.context("cannot submit the tasks")?;
    view.step(&submitted(&ids));
    let performance = performance::perform(&client, stack, &ids, view).await?;
    view.step("all four tasks have ended");
    let kill = performance.kill.as_ref();
    let findings = Findings::gather(&client, stack, &ids, kill, &workers).await?;
    let origin = Git::new(&stage.origin(), &stage.home());
    report::print(view, &findings, kill, &origin).await;
    view.line(&format!("\n{}", style("The checks").bold()));
    checks::check_attempts(verdict, &findings, &performance.board, kill);
    checks::check_results(verdict, &findings, &origin).await;
    Ok(())
}

fn submitted(ids: &PerPart<makima_shared::domain::TaskId>) -> String {
    let id = |part| ids.of(part).short();
    format!(
        "submitted plan ({}), then backend ({}) and frontend ({}) side by side, then integrate ({})",
        id(Part::Plan),
        id(Part::Backend),
        id(Part::Frontend),
        id(Part::Integrate)
    )
}
