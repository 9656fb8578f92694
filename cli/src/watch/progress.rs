//! The line that moves, and what is printed past it.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use makima_shared::domain::TaskStatus;

use crate::render;

const TICK: Duration = Duration::from_millis(100);
/// The longest line that is held back until its end.
const LONGEST_LINE: usize = 64 * 1024;

/// A line at the bottom of a terminal, or nothing where there is none.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    talks: bool,
    label: String,
    /// Of a line whose end has not come: a moving line below it would overwrite it.
    held: String,
}

impl Progress {
    /// Begins; with `talks` off nothing is ever written.
    pub(super) fn start(label: &str, talks: bool) -> Self {
        let bar = (talks && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
                bar.set_style(style);
            }
            bar.set_message(label.to_owned());
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { bar, talks, label: label.to_owned(), held: String::new() }
    }

    /// Changes what the moving line is about.
    pub(super) fn label(&mut self, label: &str) {
        label.clone_into(&mut self.label);
        if let Some(bar) = &self.bar {
            bar.set_message(self.label.clone());
        }
    }

    /// Shows where the task stands.
    pub(super) fn status(&self, status: TaskStatus) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{} {}", self.label, render::status_for_stderr(status)));
        }
    }

    /// Writes a line about the task to standard error.
    pub(super) fn talk(&self, line: &str) -> io::Result<()> {
        if !self.talks {
            return Ok(());
        }
        self.past_the_line(|| writeln!(io::stderr().lock(), "{line}"))
    }

    /// Writes text of the agent to standard output, and ends the line unless it goes on.
    pub(super) fn output(&mut self, text: &str, partial: bool) -> io::Result<()> {
        if self.bar.is_none() {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes())?;
            return if partial { out.flush() } else { writeln!(out) };
        }
        self.held.push_str(text);
        if partial && self.held.len() < LONGEST_LINE { Ok(()) } else { self.release() }
    }

    fn release(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.held);
        self.past_the_line(|| writeln!(io::stdout().lock(), "{line}"))
    }

    /// Ends the moving line.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if !self.held.is_empty() {
            self.release()?;
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        Ok(())
    }

    fn past_the_line(&self, write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

/// Whatever ends the watching, the terminal is left in order.
impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
