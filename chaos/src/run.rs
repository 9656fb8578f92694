//! One run, whatever the scenario: the stack, the load, what breaks, the end, the judgement.

mod leaders;
mod poison;
mod storm;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::checks;
use crate::evidence::{DispatchWatch, Evidence, look_for_leftovers};
use crate::faults::Struck;
use crate::load::Driver;
use crate::options::{Options, Scenario};
use crate::report::Report;
use crate::scratch::Scratch;
use crate::settle::settle;
use crate::stack::Stack;

/// What a scenario works with.
pub(crate) struct Stage<'a> {
    pub(crate) options: &'a Options,
    pub(crate) seed: u64,
    pub(crate) stack: Arc<Stack>,
    pub(crate) driver: Driver,
    pub(crate) began: DateTime<Utc>,
}

/// Starts everything, lets the scenario happen, judges, and clears up.
pub(crate) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let seed = options.fleet.seed.unwrap_or_else(rand::random);
    let scratch = Scratch::make(options.fleet.dir.as_deref()).await?;
    if !options.fleet.brief {
        println!("seed {seed}, in {}", scratch.path().display());
    }
    let stack = Arc::new(Stack::start(scratch, &options.fleet).await.context("the stack does not start")?);
    let slots = options.fleet.workers.get() * options.fleet.slots.get();
    let driver = Driver::new(&stack, slots)?;
    let stage = Stage { options, seed, stack, driver, began: Utc::now() };
    let report = stage.play().await;
    let Stage { stack, .. } = stage;
    clear_up(stack, options.fleet.keep).await;
    report?.publish(options)
}

impl Stage<'_> {
    async fn play(&self) -> anyhow::Result<Report> {
        match self.options.scenario {
            None => storm::play(self).await,
            Some(Scenario::Leaders { kills }) => leaders::play(self, kills).await,
            Some(Scenario::Poison { tasks }) => poison::play(self, tasks).await,
        }
    }

    /// Lets `faults` happen under `load`, waits for the end of everything, and judges.
    pub(crate) async fn judge(
        &self,
        load: impl Future<Output = anyhow::Result<()>> + Send + 'static,
        faults: impl Future<Output = anyhow::Result<Vec<Struck>>>,
    ) -> anyhow::Result<Report> {
        let load = tokio::spawn(load);
        let (watch, watched) = (DispatchWatch::default(), CancellationToken::new());
        let happening = async {
            let struck = faults.await?;
            let settled = settle(&self.stack, &self.driver, async { load.await? }).await?;
            watched.cancel();
            anyhow::Ok((struck, settled))
        };
        let (happened, ()) = tokio::join!(happening, watch.clone().run(&self.stack, &watched));
        let (struck, settled) = happened?;
        let ledger = self.driver.ledger.entries();
        let mut evidence = Evidence::gather(&self.stack, ledger, &struck, watch.found()).await?;
        let stale_writes_refused = self.stack.stale_writes_refused();
        self.stack.end_roles().await;
        evidence.ended_by_themselves = self.stack.findings();
        evidence.leftovers = look_for_leftovers(&self.stack, &evidence.histories).await?;
        Ok(Report {
            seed: self.seed,
            began: self.began,
            took: Utc::now() - self.began,
            settled,
            struck,
            stale_writes_refused,
            tasks: evidence.histories.len(),
            restarts: self.stack.restarts(),
            verdicts: checks::judge(&evidence),
        })
    }
}

async fn clear_up(stack: Arc<Stack>, keep: bool) {
    stack.end_roles().await;
    stack.servers.stop().await;
    // Nothing else has the stack any more once its faults have ended; if a fault hangs, its directory stays.
    let Some(stack) = Arc::into_inner(stack) else { return };
    if keep {
        println!("logs and ledger are in {}", stack.scratch.keep().display());
    } else {
        stack.scratch.remove().await;
    }
}
