//! How things look to people: columns, colours, times. Pure: data in, text out.
//!
//! Colours are on where standard output is a terminal and `NO_COLOR` is not set. Text of others (names, messages,
//! output) is shown without its escape sequences, colours included, and without hidden characters, so that it can neither
//! steer the terminal nor look like what it is not.

mod agent_event;
mod blocks;
mod detail;
mod diff;
mod event;
mod held;
mod lists;
mod owners;
mod schedules;
mod table;
mod text;
mod time;
mod top;

use std::io::IsTerminal;

use console::{Style, StyledObject};
use makima_shared::domain::TaskStatus;

pub(crate) use detail::task_detail;
pub(crate) use diff::DiffPainter;
pub(crate) use event::{EventLine, Form, event_line, output_line};
pub(crate) use held::how_to_go_on;
pub(crate) use lists::{checkpoint_table, secret_table, task_table, worker_table};
pub(crate) use owners::owner_table;
pub(crate) use schedules::{next_due, schedule_detail, schedule_table};
pub(crate) use text::{json, json_line, one_line, plain};
pub(crate) use top::{Rates, Size, TopView, top_frame};

/// Whether and where colours are on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint;

impl Paint {
    /// Decides once, by where the output goes.
    pub(crate) fn for_stdout() {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        console::set_colors_enabled(wanted && std::io::stdout().is_terminal());
        console::set_colors_enabled_stderr(wanted && std::io::stderr().is_terminal());
    }
}

/// Returns the width that lines may have, if they go to a terminal.
pub(crate) fn terminal_width() -> Option<usize> {
    let terminal = console::Term::stdout();
    terminal.is_term().then(|| usize::from(terminal.size().1)).filter(|width| *width > 0)
}

/// Returns the colour of a status.
fn style_of(status: TaskStatus) -> Style {
    let style = Style::new();
    match status {
        TaskStatus::Pending => style.dim(),
        TaskStatus::Queued => style.yellow(),
        TaskStatus::Starting => style.cyan(),
        TaskStatus::Running => style.blue().bold(),
        TaskStatus::Paused | TaskStatus::Interrupted => style.magenta(),
        TaskStatus::Done | TaskStatus::Merged => style.green(),
        TaskStatus::Failed => style.red(),
        TaskStatus::Cancelled => style.red().dim(),
    }
}

/// Returns a status in its colour, for standard output.
pub(crate) fn status(status: TaskStatus) -> StyledObject<&'static str> {
    style_of(status).apply_to(status.as_str())
}

/// Returns a status in its colour, for standard error.
pub(crate) fn status_for_stderr(status: TaskStatus) -> StyledObject<&'static str> {
    style_of(status).for_stderr().apply_to(status.as_str())
}
