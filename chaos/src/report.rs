//! What a run has found, for people.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::checks::Verdict;
use crate::faults::Struck;
use crate::options::Options;

/// How many rows of a broken invariant are printed.
const MAX_ROWS: usize = 20;

/// All that is told of a run.
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) began: DateTime<Utc>,
    pub(crate) took: TimeDelta,
    /// How long everything took to come to its end after the last fault.
    pub(crate) settled: Duration,
    pub(crate) struck: Vec<Struck>,
    pub(crate) stale_writes_refused: u64,
    pub(crate) tasks: usize,
    /// For how long the machine had no time for the run.
    pub(crate) starved_secs: i64,
    pub(crate) restarts: u32,
    pub(crate) attempts: BTreeMap<String, usize>,
    /// What became of the poison tasks, each in a line.
    pub(crate) stories: Vec<String>,
    pub(crate) verdicts: Vec<Verdict>,
}

/// Tells of one fault, when it is over.
pub(crate) fn tell(run_began: DateTime<Utc>, fault: &Struck) {
    let seconds = |time: DateTime<Utc>| seconds(time - run_began);
    let hit = match &fault.hit {
        Ok(hit) => hit.clone(),
        Err(why) => format!("nothing: {why}"),
    };
    let (began, ended) = (seconds(fault.began), seconds(fault.ended));
    println!("{:>4}  {began:>6.1} s .. {ended:>6.1} s  {:<40} {hit}", fault.number, fault.kind.as_str());
}

fn seconds(span: TimeDelta) -> f64 {
    Duration::from_millis(u64::try_from(span.num_milliseconds()).unwrap_or(0)).as_secs_f64()
}

impl Report {
    /// Prints the report; the exit code tells whether every invariant holds.
    pub(crate) fn publish(&self, options: &Options) -> anyhow::Result<ExitCode> {
        let holds = self.verdicts.iter().all(|verdict| verdict.findings.broken.is_empty());
        if holds && options.fleet.brief {
            println!("chaos: {}, all invariants hold", self.summary());
            return Ok(ExitCode::SUCCESS);
        }
        if options.fleet.brief {
            self.struck.iter().for_each(|fault| tell(self.began, fault));
        }
        self.print_counts();
        self.stories.iter().for_each(|story| println!("{story}"));
        self.print_verdicts();
        println!(
            "\n{}: {}",
            if holds { "all invariants hold" } else { "INVARIANTS ARE BROKEN" },
            self.summary()
        );
        Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn summary(&self) -> String {
        let hit = self.struck.iter().filter(|fault| fault.hit.is_ok()).count();
        format!(
            "seed {}, {} faults ({hit} hit something), {} tasks, {} stale writes refused, {:.0} s, settled in {:.0} s",
            self.seed,
            self.struck.len(),
            self.tasks,
            self.stale_writes_refused,
            seconds(self.took),
            self.settled.as_secs_f64()
        )
    }

    fn print_counts(&self) {
        let mut counts: BTreeMap<_, (u32, u32)> = BTreeMap::new();
        for fault in &self.struck {
            let count = counts.entry(fault.kind).or_default();
            count.0 += 1;
            count.1 += u32::from(fault.hit.is_ok());
        }
        if !counts.is_empty() {
            println!("\n faults  hit  kind");
        }
        for (kind, (struck, hit)) in counts {
            println!("{struck:>7} {hit:>4}  {}", kind.as_str());
        }
        let accepted = self.broken("3");
        let outcomes: Vec<_> =
            self.attempts.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect();
        println!("\nroles started again: {}", self.restarts);
        println!("attempts: {}", outcomes.join(", "));
        println!("the machine was busy with other things for {} s; nothing is late then", self.starved_secs);
        println!(
            "stale writes: {} attempted, {} refused, {accepted} accepted",
            self.stale_writes_refused + u64::try_from(accepted).unwrap_or(0),
            self.stale_writes_refused
        );
    }

    fn broken(&self, number: &str) -> usize {
        let verdicts = self.verdicts.iter().filter(|verdict| verdict.number == number);
        verdicts.map(|verdict| verdict.findings.broken.len()).sum()
    }

    fn print_verdicts(&self) {
        println!();
        for Verdict { number, invariant, findings } in &self.verdicts {
            let judged = findings.judged;
            if findings.broken.is_empty() {
                println!("{number:>3}  {invariant:<62} holds ({judged} judged)");
                continue;
            }
            println!("{number:>3}  {invariant:<62} BROKEN by {} of {judged}", findings.broken.len());
            findings.broken.iter().take(MAX_ROWS).for_each(|row| println!("       {row}"));
            if findings.broken.len() > MAX_ROWS {
                println!("       and {} more", findings.broken.len() - MAX_ROWS);
            }
        }
    }
}
