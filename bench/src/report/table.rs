//! A table, for a terminal or for a page. The first column is words, the others are figures.

/// The columns that are set to the left beside the first: words, not figures.
const WORDS: [&str; 2] = ["floor", "bar"];

/// Cells in rows.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Begins a table with its heads.
    pub(super) fn new<const N: usize>(heads: [&str; N]) -> Self {
        Self { rows: vec![heads.map(str::to_owned).into()] }
    }

    /// Adds a row.
    pub(super) fn push<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// Draws it for a terminal.
    pub(super) fn text(&self) -> String {
        let widths = self.widths();
        let mut lines: Vec<String> = self.padded(&widths).iter().map(|row| row.join("  ")).collect();
        lines.insert(1, widths.iter().map(|width| "─".repeat(*width)).collect::<Vec<_>>().join("  "));
        lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
    }

    /// Draws it for a page.
    pub(super) fn markdown(&self) -> String {
        let widths = self.widths();
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rows = self.padded(&widths);
        let rule: Vec<String> = (widths.iter().enumerate())
            .map(|(column, width)| match self.is_words(column) {
                true => "-".repeat(*width),
                false => format!("{}:", "-".repeat(width.saturating_sub(1))),
            })
            .collect();
        rows.iter().enumerate().fold(String::new(), |text, (index, row)| {
            text + &line(row) + &if index == 0 { line(&rule) } else { String::new() }
        })
    }

    fn is_words(&self, column: usize) -> bool {
        column == 0 || WORDS.contains(&&*self.rows[0][column])
    }

    fn widths(&self) -> Vec<usize> {
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        (0..self.rows[0].len()).map(width).collect()
    }

    fn padded(&self, widths: &[usize]) -> Vec<Vec<String>> {
        let cell = |(column, text): (usize, &String)| match (widths[column], self.is_words(column)) {
            (width, true) => format!("{text:<width$}"),
            (width, false) => format!("{text:>width$}"),
        };
        self.rows.iter().map(|row| row.iter().enumerate().map(cell).collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["what", "p50", "floor"]);
        table.push(["a → b", "1.00 ms", "HTTP"].map(str::to_owned));
        table.push(["· b", "12 ms", "2 commit"].map(str::to_owned));
        table
    }

    #[test]
    fn words_stand_left_and_figures_right() {
        let expected =
            "what       p50  floor\n─────  ───────  ────────\na → b  1.00 ms  HTTP\n· b      12 ms  2 commit";
        assert_eq!(table().text(), expected);
    }

    #[test]
    fn a_page_gets_the_same_cells() {
        let expected = "| what  |     p50 | floor    |\n| ----- | ------: | -------- |\n\
                        | a → b | 1.00 ms | HTTP     |\n| · b   |   12 ms | 2 commit |\n";
        assert_eq!(table().markdown(), expected);
    }
}
