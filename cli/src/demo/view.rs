//! What a person sees: lines that say what happens, and on a terminal a table below them that changes in place.

use std::cell::RefCell;
use std::io::{self, Write};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use console::{Alignment, Term, pad_str, style, truncate_str};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::board::{Board, Row};
use super::graph::Part;
use crate::render;

const TITLES: [&str; 7] = ["TASK", "STATUS", "WORKER", "TRY", "SAVED", "LINES", "LAST WORDS"];
const WIDTHS: [usize; 6] = [9, 8, 10, 3, 5, 7];
const BAR_CELLS: usize = 20;
/// Terminals that are narrower get no bars.
const BARS_FROM: usize = 110;

/// Where lines and the table go.
pub(crate) struct View {
    begun: Instant,
    moves: bool,
    table: RefCell<Option<Table>>,
}

struct Table {
    all: MultiProgress,
    title: ProgressBar,
    rows: [ProgressBar; 4],
}

impl View {
    /// Looks where the output goes.
    pub(crate) fn new() -> Self {
        render::Paint::for_stdout();
        let moves = Term::stdout().features().is_attended()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { begun: Instant::now(), moves, table: RefCell::new(None) }
    }

    /// Says a step, with the time since the start.
    pub(crate) fn step(&self, words: &str) {
        let time = format!("{:5.1}s", self.begun.elapsed().as_secs_f64());
        self.line(&format!("{}  {words}", style(time).dim()));
    }

    /// Says what happened to a task, where the table does not show it.
    pub(crate) fn change(&self, part: Part, words: &str) {
        if !self.moves {
            self.step(&format!("{:<9}  {words}", part.name()));
        }
    }

    /// Writes a line above the table.
    pub(crate) fn line(&self, line: &str) {
        let written = match &*self.table.borrow() {
            Some(table) => table.all.println(line),
            None => writeln!(io::stdout().lock(), "{line}"),
        };
        // Whoever read our output may be gone; the demo still ends in order.
        drop(written);
    }

    /// Brings the table up to date.
    pub(crate) fn show(&self, board: &Board) {
        if !self.moves {
            return;
        }
        let width = usize::from(Term::stdout().size().1).max(40);
        let mut table = self.table.borrow_mut();
        let table = table.get_or_insert_with(Table::new);
        table
            .title
            .set_message(style(truncate_str(&title(width), width - 1, "…").into_owned()).dim().to_string());
        for (bar, part) in table.rows.iter().zip(Part::ALL) {
            let line = row_line(part, board.rows.of(part), width, Utc::now());
            bar.set_message(truncate_str(&line, width - 1, "…").into_owned());
        }
    }

    /// Takes the table away.
    pub(crate) fn close(&self) {
        if let Some(table) = self.table.borrow_mut().take() {
            drop(table.all.clear());
        }
    }

    /// How long the demo has run.
    pub(crate) fn seconds(&self) -> u64 {
        self.begun.elapsed().as_secs()
    }
}

impl Table {
    fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let line = || {
            let bar = all.add(ProgressBar::new_spinner());
            if let Ok(plain) = ProgressStyle::with_template("{msg}") {
                bar.set_style(plain);
            }
            bar
        };
        Self { title: line(), rows: [line(), line(), line(), line()], all: all.clone() }
    }
}

/// Returns a time in seconds and tenths: `7.4 s`.
pub(crate) fn seconds(span: TimeDelta) -> String {
    let tenths = span.num_milliseconds().max(0) / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

fn title(width: usize) -> String {
    let cells: Vec<String> = TITLES.iter().map(|title| (*title).to_owned()).collect();
    columns(&cells, width)
}

fn row_line(part: Part, row: &Row, width: usize, now: DateTime<Utc>) -> String {
    let lines = row
        .progress
        .map(|(done, all)| if width >= BARS_FROM { bar(done, all) } else { format!("{done}/{all}") });
    let words = match row.orphaned_until {
        Some(end) if end > now => {
            let left = seconds(end - now);
            style(format!("its worker is dead; its lease ends in {left}")).red().to_string()
        }
        Some(_) => style("its worker is dead; its lease is over").red().to_string(),
        None => row.said.clone(),
    };
    columns(
        &[
            style(part.name()).bold().to_string(),
            render::status(row.status).to_string(),
            row.worker.as_ref().map(|(_, name)| name.clone()).unwrap_or_default(),
            if row.epoch == 0 { String::new() } else { row.epoch.to_string() },
            if row.checkpoint == 0 { String::new() } else { format!("#{}", row.checkpoint) },
            lines.unwrap_or_default(),
            words,
        ],
        width,
    )
}

fn columns(cells: &[String], width: usize) -> String {
    let bars = if width >= BARS_FROM { BAR_CELLS + 1 } else { 0 };
    let mut line = String::new();
    for (index, cell) in cells.iter().enumerate() {
        let extra = if index == WIDTHS.len() - 1 { bars } else { 0 };
        match WIDTHS.get(index) {
            Some(width) => line.push_str(&pad_str(cell, width + extra, Alignment::Left, Some("…"))),
            None => line.push_str(cell),
        }
        line.push_str("  ");
    }
    line.trim_end().to_owned()
}

fn bar(done: usize, all: usize) -> String {
    let full = (done * BAR_CELLS).checked_div(all).unwrap_or_default().min(BAR_CELLS);
    let (full, rest) = ("█".repeat(full), "░".repeat(BAR_CELLS - full));
    format!("{}{} {done}/{all}", style(full).green(), style(rest).dim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_stands_under_the_titles() {
        let mut board = Board::new();
        let row = board.rows.of_mut(Part::Backend);
        (row.epoch, row.checkpoint, row.progress) = (2, 5, Some((60, 120)));
        row.said = "wrote line 60".to_owned();
        let line = row_line(Part::Backend, row, 80, DateTime::UNIX_EPOCH);
        assert_eq!(
            console::strip_ansi_codes(&line),
            "backend    pending               2    #5     60/120   wrote line 60"
        );
        assert!(title(80).starts_with("TASK       STATUS    WORKER      TRY  SAVED  LINES    LAST WORDS"));
    }

    #[test]
    fn a_bar_is_as_full_as_the_work_is_done() {
        assert_eq!(console::strip_ansi_codes(&bar(60, 120)).matches('█').count(), 10);
        assert_eq!(console::strip_ansi_codes(&bar(0, 0)).matches('█').count(), 0);
    }
}
