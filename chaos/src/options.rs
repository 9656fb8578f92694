//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Context;
use clap::{ArgGroup, Args, Parser, Subcommand};

use crate::faults::FaultKind;

/// Breaks a whole makima at random, under load, and judges whether its invariants hold.
///
/// Without a command it injects faults of all kinds from a seed. It starts PostgreSQL (fsync on), Redis, an API, two
/// schedulers and workers of its own, submits tasks all the time, waits until nothing can move any more, and prints each
/// fault with what it hit and each invariant with the rows that break it. Exit code 1 if any is broken.
#[derive(Clone, Debug, Parser)]
#[command(name = "makima-chaos", version)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) fleet: Fleet,

    #[command(flatten)]
    pub(crate) storm: Storm,

    #[command(subcommand)]
    pub(crate) scenario: Option<Scenario>,
}

/// What runs, and where.
#[derive(Args, Clone, Debug)]
pub(crate) struct Fleet {
    /// The makima program; the one beside this one if none
    #[arg(long, value_name = "FILE", global = true)]
    makima: Option<PathBuf>,

    /// How many worker processes run
    #[arg(long, value_name = "N", default_value = "4", global = true)]
    pub(crate) workers: NonZeroUsize,

    /// How many tasks a worker runs at once
    #[arg(long, value_name = "N", default_value = "4", global = true)]
    pub(crate) slots: NonZeroUsize,

    /// Where the passing directory goes; /var/tmp if none, else $TMPDIR or /tmp
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) dir: Option<PathBuf>,

    /// Leave the directory with all logs and the ledger where it is
    #[arg(long, global = true)]
    pub(crate) keep: bool,

    /// Print one line if every invariant holds
    #[arg(long, global = true)]
    pub(crate) brief: bool,

    /// Decides kinds, targets and times of all faults, and the load; a random one if none
    #[arg(long, value_name = "N", global = true)]
    pub(crate) seed: Option<u64>,
}

/// How much breaks.
#[derive(Args, Clone, Debug)]
pub(crate) struct Storm {
    /// How many faults are injected
    #[arg(long, value_name = "N", default_value = "200")]
    pub(crate) faults: usize,

    /// Inject faults of this kind alone; may be given several times
    #[arg(long, value_name = "KIND")]
    pub(crate) only: Vec<FaultKind>,
}

/// A scenario in place of faults of all kinds.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Scenario {
    /// Two schedulers, the leader killed again and again under dependency graphs: each dependency is released once
    Leaders {
        /// How often the leader is killed
        #[arg(long, value_name = "N", default_value = "20")]
        kills: u32,
    },
    /// One task that kills every worker it meets among good ones: it ends failed, they end done
    Poison {
        /// How many good tasks there are
        #[arg(long, value_name = "N", default_value = "100")]
        tasks: u32,
    },
    /// One agent's run on a real repository, killed again and again: its work ends equal to that of a run left alone
    Kills(Kills),
}

/// An agent's run that is killed, and one that is not.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("of").required(true))]
pub(crate) struct Kills {
    /// The repository that the agent works on, a copy of it; it is left alone itself
    #[arg(long, value_name = "PATH", group = "of")]
    pub(crate) repository: Option<PathBuf>,

    /// Make a repository of so many files in place of one that is there
    #[arg(long, value_name = "N", group = "of")]
    pub(crate) files: Option<NonZeroUsize>,

    /// How often the run is killed
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(1..=50))]
    pub(crate) kills: u16,

    /// How many edits the agent makes, about four a second
    #[arg(long, value_name = "N", default_value = "125", value_parser = clap::value_parser!(u32).range(20..=10_000))]
    pub(crate) steps: u32,
}

impl Fleet {
    /// Returns the makima program's path.
    pub(crate) fn makima(&self) -> anyhow::Result<PathBuf> {
        let path = match &self.makima {
            Some(path) => path.clone(),
            None => std::env::current_exe()?.with_file_name("makima"),
        };
        std::path::absolute(&path).and_then(std::fs::canonicalize).with_context(|| {
            format!("there is no makima program at {}: say where with --makima", path.display())
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_has_no_contradictions() {
        Options::command().debug_assert();
    }
}
