//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

use crate::{agents, around, plane, workspaces};

/// Measures makima beside the floors of this machine: one run, everything real, under ten minutes on two cores.
#[derive(Clone, Debug, Parser)]
#[command(name = "makima-bench", version)]
pub(crate) struct Options {
    /// The makima program; the one beside this one if none
    #[arg(long, value_name = "FILE")]
    makima: Option<PathBuf>,

    /// Measure this alone; may be given several times
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(names()))]
    only: Vec<String>,

    /// Measure less of the longest: figures to get an idea of
    #[arg(long)]
    pub(crate) quick: bool,

    /// How often each latency is measured
    #[arg(long, value_name = "N", default_value = "200")]
    pub(crate) runs: NonZeroUsize,

    /// How many tasks the throughput is measured over
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) tasks: NonZeroUsize,

    /// How many worker processes run
    #[arg(long, value_name = "N", default_value = "2")]
    pub(crate) workers: NonZeroUsize,

    /// How many tasks a worker runs at once
    #[arg(long, value_name = "N", default_value = "2")]
    pub(crate) slots: NonZeroUsize,

    /// How many clients submit and follow at once while the throughput is measured
    #[arg(long, value_name = "N", default_value = "8")]
    pub(crate) clients: NonZeroUsize,

    /// Where the passing directory goes, which should be on a disk; /var/tmp if none, else $TMPDIR or /tmp
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,

    /// Write the figures there too, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Replace the figures between the markers of this page
    #[arg(long, value_name = "PAGE")]
    pub(crate) update: Option<PathBuf>,
}

/// Returns the names of all measurements.
fn names() -> Vec<&'static str> {
    let workspaces = workspaces::NAMES.into_iter().chain(workspaces::LARGE_NAMES);
    plane::NAMES.into_iter().chain(agents::NAMES).chain(around::NAMES).chain(workspaces).collect()
}

impl Options {
    /// Tells whether a measurement was asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

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

    /// Returns how many tasks run at once.
    pub(crate) fn concurrent(&self) -> usize {
        self.workers.get() * self.slots.get()
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
