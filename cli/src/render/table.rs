//! Aligned columns.

use console::{Alignment, measure_text_width, pad_str, style, truncate_str};

/// A column: its title, and to which side its cells lean.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    title: &'static str,
    alignment: Alignment,
    /// It gives way where the lines are too long for the terminal.
    flexible: bool,
}

impl Column {
    pub(super) const fn left(title: &'static str) -> Self {
        Self { title, alignment: Alignment::Left, flexible: false }
    }

    pub(super) const fn right(title: &'static str) -> Self {
        Self { title, alignment: Alignment::Right, flexible: false }
    }

    pub(super) const fn flexible(title: &'static str) -> Self {
        Self { title, alignment: Alignment::Left, flexible: true }
    }
}

const GAP: usize = 2;
/// A flexible column is not made narrower than this.
const NARROWEST: usize = 12;

/// Lays rows out under their titles, in lines of up to `width` columns if there is a width.
pub(super) fn table(columns: &[Column], rows: &[Vec<String>], width: Option<usize>) -> String {
    let mut widths: Vec<usize> = columns.iter().map(|column| column.title.len()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(measure_text_width(cell));
        }
    }
    if let Some(limit) = width {
        shrink(columns, &mut widths, limit);
    }
    let titles: Vec<String> = columns.iter().map(|column| column.title.to_owned()).collect();
    let mut text = format!("{}\n", style(line(columns, &widths, &titles)).dim());
    for row in rows {
        text.push_str(&line(columns, &widths, row));
        text.push('\n');
    }
    text
}

fn shrink(columns: &[Column], widths: &mut [usize], limit: usize) {
    let total: usize = widths.iter().sum::<usize>() + GAP * (widths.len().saturating_sub(1));
    let mut excess = total.saturating_sub(limit);
    for (column, width) in columns.iter().zip(widths) {
        if column.flexible && *width > NARROWEST {
            let cut = excess.min(*width - NARROWEST);
            *width -= cut;
            excess -= cut;
        }
    }
}

fn line(columns: &[Column], widths: &[usize], cells: &[String]) -> String {
    let mut text = String::new();
    for ((column, width), cell) in columns.iter().zip(widths).zip(cells) {
        let cell = truncate_str(cell, *width, "…");
        if !text.is_empty() {
            text.push_str(&" ".repeat(GAP));
        }
        text.push_str(&pad_str(&cell, *width, column.alignment, None));
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [Column::left("ID"), Column::flexible("NAME"), Column::right("TRIES")];

    fn rows() -> Vec<Vec<String>> {
        [["1a2b", "build the whole thing", "1"], ["3c4d", "tëst", "12"]]
            .map(|row| row.map(str::to_owned).to_vec())
            .to_vec()
    }

    #[test]
    fn cells_stand_under_their_titles() {
        let expected = "ID    NAME                   TRIES\n\
                        1a2b  build the whole thing      1\n\
                        3c4d  tëst                      12\n";
        assert_eq!(table(&COLUMNS, &rows(), None), expected);
    }

    #[test]
    fn the_flexible_column_gives_way_on_a_narrow_terminal() {
        let text = table(&COLUMNS, &rows(), Some(28));
        assert!(text.lines().all(|line| measure_text_width(line) <= 28), "{text}");
        assert!(text.contains("build the whol…"), "{text}");
    }
}
