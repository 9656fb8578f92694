//! One run, whatever the scenario: the stack, the load, what breaks, the end, the judgement.

mod kills;
mod leaders;
mod poison;
mod storm;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::checks;
use crate::evidence::{Evidence, Watches, left_by_ended_tasks, look_for_leftovers};
use crate::faults::Struck;
use crate::load::Driver;
use crate::load::crons::{self, Cron, CronRuns};
use crate::options::{Options, Scenario};
use crate::report::Report;
use crate::scratch::Scratch;
use crate::settle::settle;
use crate::stack::Stack;

/// What shells give for the end by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// What a scenario works with.
pub(crate) struct Stage<'a> {
    pub(crate) options: &'a Options,
    pub(crate) seed: u64,
    pub(crate) stack: Arc<Stack>,
    pub(crate) driver: Driver,
    pub(crate) began: DateTime<Utc>,
}

/// What a scenario has found.
enum Found {
    Invariants(Report),
    Kills(kills::Compared),
}

/// Starts everything, lets the scenario happen, judges, and clears up, also when `interrupted` ends before.
pub(crate) async fn run(
    options: &Options,
    interrupted: impl Future<Output = ()>,
) -> anyhow::Result<ExitCode> {
    let seed = options.fleet.seed.unwrap_or_else(rand::random);
    let scratch = Arc::new(Scratch::make(options.fleet.dir.as_deref()).await?);
    if !options.fleet.brief {
        println!("seed {seed}, in {}", scratch.path().display());
    }
    let mut stack = None;
    let found = tokio::select! {
        found = play(options, seed, &scratch, &mut stack) => Some(found),
        () = interrupted => None,
    };
    if let Some(stack) = stack {
        stack.end_roles().await;
        stack.servers.stop().await;
    }
    // Before the clearing up, which takes its time where a tree is large.
    let end = match found {
        Some(Ok(Found::Invariants(report))) => report.publish(options),
        Some(Ok(Found::Kills(compared))) => Ok(compared.publish()),
        Some(Err(error)) => Err(error),
        None => Ok(ExitCode::from(INTERRUPTED)),
    };
    if options.fleet.keep {
        println!("logs and ledger are in {}", scratch.keep().display());
    } else {
        scratch.remove().await;
    }
    end
}

/// Plays the scenario on a stack, which is handed out as soon as it stands.
async fn play(
    options: &Options,
    seed: u64,
    scratch: &Arc<Scratch>,
    handed_out: &mut Option<Arc<Stack>>,
) -> anyhow::Result<Found> {
    let stack =
        Stack::start(Arc::clone(scratch), &options.fleet).await.context("the stack does not start")?;
    let stack = Arc::clone(handed_out.insert(Arc::new(stack)));
    let slots = options.fleet.workers.get() * options.fleet.slots.get();
    let driver = Driver::new(&stack, slots)?;
    let stage = Stage { options, seed, stack, driver, began: Utc::now() };
    Ok(match &options.scenario {
        None => Found::Invariants(storm::play(&stage).await?),
        Some(Scenario::Leaders { kills }) => Found::Invariants(leaders::play(&stage, *kills).await?),
        Some(Scenario::Poison { tasks }) => Found::Invariants(poison::play(&stage, *tasks).await?),
        Some(Scenario::Kills(kills)) => Found::Kills(kills::play(&stage, kills).await?),
    })
}

impl Stage<'_> {
    /// Lets `faults` happen under `load` and schedules of these periods, waits for the end of everything, and judges.
    pub(crate) async fn judge(
        &self,
        cron_periods_secs: &[i64],
        load: impl Future<Output = anyhow::Result<()>> + Send + 'static,
        faults: impl Future<Output = anyhow::Result<Vec<Struck>>>,
    ) -> anyhow::Result<Report> {
        let mut begun = Vec::new();
        for period in cron_periods_secs {
            begun.push(crons::begin(&self.driver, *period).await?);
        }
        let load = tokio::spawn(load);
        let (watches, watched) = (Watches::default(), CancellationToken::new());
        let happening = async {
            let struck = faults.await?;
            let crons = self.end_crons(&begun).await?;
            let settled = settle(&self.stack, &self.driver, async { load.await? }).await?;
            watched.cancel();
            anyhow::Ok((struck, crons, settled))
        };
        let (happened, ()) = tokio::join!(happening, watches.clone().run(&self.stack, &watched));
        let (struck, crons, settled) = happened?;
        let ledger = self.driver.ledger.entries();
        let mut evidence = Evidence::gather(&self.stack, ledger, &struck, &watches, crons).await?;
        let stale_writes_refused = self.stack.stale_writes_refused();
        let left = left_by_ended_tasks(&self.stack).await;
        self.stack.end_roles().await;
        evidence.ended_by_themselves = self.stack.findings();
        evidence.leftovers = left.and(look_for_leftovers(&self.stack, &evidence.histories).await?);
        Ok(Report {
            seed: self.seed,
            began: self.began,
            took: Utc::now() - self.began,
            settled,
            struck,
            stale_writes_refused,
            starved_secs: watches.machine.starved_secs(),
            tasks: evidence.histories.len(),
            restarts: self.stack.restarts(),
            attempts: evidence.attempts_by_outcome(),
            stories: poison::stories(&evidence),
            verdicts: checks::judge(&evidence),
        })
    }

    async fn end_crons(&self, begun: &[Cron]) -> anyhow::Result<Vec<CronRuns>> {
        let mut ended = Vec::new();
        for cron in begun {
            ended.push(crons::end(&self.driver, &self.stack.pool, cron).await?);
        }
        Ok(ended)
    }
}
