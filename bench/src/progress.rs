//! What a person sees while it runs: a bar on a terminal, else one line per phase.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// Where progress is shown.
pub(crate) struct Progress {
    terminal: bool,
}

/// One phase, until it is dropped.
pub(crate) struct Phase(ProgressBar);

impl Progress {
    /// Looks where standard error goes.
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal() }
    }

    /// Begins a phase of `steps` steps.
    pub(crate) fn phase(&self, what: &'static str, steps: usize) -> Phase {
        if !self.terminal {
            eprintln!("bench: {what} ({steps})");
            return Phase(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(steps as u64).with_message(what);
        if let Ok(style) = ProgressStyle::with_template("bench: {msg:32} {bar:30} {pos}/{len} {elapsed}") {
            bar.set_style(style);
        }
        bar.tick();
        Phase(bar)
    }
}

impl Phase {
    /// Takes a step.
    pub(crate) fn step(&self) {
        self.0.inc(1);
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
