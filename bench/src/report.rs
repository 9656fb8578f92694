//! The figures, and how they are told: a table for people, JSON for programs, a part of a page for the documentation.

mod json;
mod page;
mod table;

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::floors::{Floor, Floors};
use crate::machine::Machine;
use crate::options::Options;
use crate::samples::Samples;
use table::Table;

/// What a figure is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Unit {
    /// A duration; less is better.
    Millis,
    /// A throughput; more is better.
    PerSecond,
    /// Memory; less is better.
    Mebibytes,
    /// A load; less is better.
    Percent,
}

/// One measurement: what was measured, where a `·` begins the name of a part of the row before, and what the machine alone
/// needs for it, which floors and each how often.
#[derive(Debug)]
pub(crate) struct Row {
    name: String,
    unit: Unit,
    samples: Samples,
    floor: &'static [(usize, Floor)],
    /// The floor that was measured beside the row; that of the whole part if none.
    beside: Option<f64>,
    /// What the row is to stay below, in words.
    bar: &'static str,
}

impl Unit {
    /// The duration that half do not exceed, or the throughput that half reach.
    pub(crate) fn p50(self, samples: &Samples) -> Option<f64> {
        match self {
            Self::Millis | Self::Mebibytes | Self::Percent => samples.at_most(50),
            Self::PerSecond => samples.at_least(50),
        }
    }

    /// The duration that 99 % do not exceed, or the throughput that 99 % reach. One sample has none.
    fn p99(self, samples: &Samples) -> Option<f64> {
        match self {
            _ if samples.len() < 2 => None,
            Self::Millis | Self::Mebibytes | Self::Percent => samples.at_most(99),
            Self::PerSecond => samples.at_least(99),
        }
    }

    fn show(self, value: Option<f64>) -> String {
        let Some(value) = value else { return "–".to_owned() };
        let decimals = if value >= 100.0 {
            0
        } else if value >= 10.0 {
            1
        } else if value >= 1.0 {
            2
        } else {
            3
        };
        match self {
            Self::Millis => format!("{value:.decimals$} ms"),
            Self::PerSecond => format!("{value:.decimals$}/s"),
            Self::Mebibytes => format!("{value:.1} MiB"),
            Self::Percent => format!("{value:.1} %"),
        }
    }
}

impl Row {
    /// Takes durations.
    pub(crate) fn millis(
        name: impl Into<String>,
        durations: impl IntoIterator<Item = Duration>,
        floor: &'static [(usize, Floor)],
    ) -> Self {
        Self::new(name, Unit::Millis, Samples::of_durations(durations), floor)
    }

    /// Takes durations that were sampled already.
    pub(crate) fn of_millis(
        name: impl Into<String>,
        samples: Samples,
        floor: &'static [(usize, Floor)],
    ) -> Self {
        Self::new(name, Unit::Millis, samples, floor)
    }

    /// Takes throughputs.
    pub(crate) fn per_second(
        name: impl Into<String>,
        samples: Samples,
        floor: &'static [(usize, Floor)],
    ) -> Self {
        Self::new(name, Unit::PerSecond, samples, floor)
    }

    /// Takes amounts of memory.
    pub(crate) fn mebibytes(name: impl Into<String>, samples: Samples) -> Self {
        Self::new(name, Unit::Mebibytes, samples, &[])
    }

    /// Takes loads.
    pub(crate) fn percent(name: impl Into<String>, samples: Samples) -> Self {
        Self::new(name, Unit::Percent, samples, &[])
    }

    fn new(name: impl Into<String>, unit: Unit, samples: Samples, floor: &'static [(usize, Floor)]) -> Self {
        Self { name: name.into(), unit, samples, floor, beside: None, bar: "" }
    }

    /// Says what the row is to stay below.
    pub(crate) fn bar(self, bar: &'static str) -> Self {
        Self { bar, ..self }
    }

    /// Takes its floor from those that were measured beside it.
    pub(crate) fn beside(self, floors: &Floors) -> Self {
        Self { beside: floors.median_of(self.floor), ..self }
    }

    fn floor_p50(&self, floors: &Floors) -> Option<f64> {
        self.beside.or_else(|| floors.median_of(self.floor))
    }

    /// Returns how many times what the machine alone needs a value of the row is.
    fn ratio(&self, value: Option<f64>, floors: &Floors) -> Option<f64> {
        let (value, floor) = (value?, self.floor_p50(floors)?);
        let (slow, fast) = match self.unit {
            Unit::Millis | Unit::Mebibytes | Unit::Percent => (value, floor),
            Unit::PerSecond => (floor, value),
        };
        (fast > 0.0).then(|| slow / fast)
    }

    fn floor_words(&self) -> String {
        let word = |(times, floor): &(usize, Floor)| match times {
            1 => floor.word().to_owned(),
            _ => format!("{times} {}", floor.word()),
        };
        if self.floor.is_empty() {
            return "–".to_owned();
        }
        if self.floor == Floor::LATENCY {
            return "L".to_owned();
        }
        self.floor.iter().map(word).collect::<Vec<_>>().join(" + ")
    }
}

/// What was measured over one stack.
pub(crate) struct Part {
    pub(crate) title: &'static str,
    /// What was measured, in words.
    pub(crate) about: String,
    pub(crate) floors: Floors,
    pub(crate) rows: Vec<Row>,
}

/// Everything of one run.
pub(crate) struct Report {
    machine: Machine,
    parts: Vec<Part>,
}

impl Report {
    /// Puts everything together.
    pub(crate) fn new(machine: Machine, parts: Vec<Part>) -> Self {
        Self { machine, parts }
    }

    /// Prints it, and writes it wherever else it was asked for.
    pub(crate) fn publish(&self, options: &Options) -> anyhow::Result<()> {
        println!("\n{}\n", self.text());
        if let Some(doubt) = self.machine.doubts() {
            println!("Not to be trusted: {doubt}.\n");
        }
        if let Some(file) = &options.json {
            let json = serde_json::to_string_pretty(&self.json())? + "\n";
            std::fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
        }
        if let Some(file) = &options.update {
            page::update(file, &self.markdown())?;
        }
        Ok(())
    }

    fn text(&self) -> String {
        let parts = self.parts.iter().flat_map(|part| {
            [part.title.to_owned(), part.about.clone(), part.floor_table().text(), part.row_table().text()]
        });
        std::iter::once(self.machine.line()).chain(parts).collect::<Vec<_>>().join("\n\n")
    }

    fn markdown(&self) -> String {
        let parts = self.parts.iter().map(|part| {
            let (floors, rows) = (part.floor_table().markdown(), part.row_table().markdown());
            format!("### {}\n\n{}\n\n{floors}\n{rows}", part.title, part.about)
        });
        let machine = format!(
            "Machine: {}. fsync on. Nearest-rank percentiles, warm-up runs left out.",
            self.machine.line()
        );
        std::iter::once(machine).chain(parts).collect::<Vec<_>>().join("\n\n")
    }
}

impl Part {
    fn floor_table(&self) -> Table {
        let mut table = Table::new(["floor of this machine", "n", "p50", "p99"]);
        for floor in Floor::ALL {
            let (samples, unit) = (self.floors.samples(floor), floor.unit());
            if samples.len() == 0 {
                continue;
            }
            let (p50, p99) = (unit.p50(&samples), unit.p99(&samples));
            table.push([floor.name().to_owned(), thousands(samples.len()), unit.show(p50), unit.show(p99)]);
        }
        table
    }

    fn row_table(&self) -> Table {
        let heads = ["what", "n", "p50", "p99", "floor", "floor p50", "p50 / floor", "p99 / floor", "bar"];
        let mut table = Table::new(heads);
        for row in &self.rows {
            let (unit, samples) = (row.unit, &row.samples);
            let (p50, p99) = (unit.p50(samples), unit.p99(samples));
            let ratio = |value| match row.ratio(value, &self.floors) {
                Some(ratio) => format!("{ratio:.2} x"),
                None => "–".to_owned(),
            };
            table.push([
                row.name.clone(),
                thousands(samples.len()),
                unit.show(p50),
                unit.show(p99),
                row.floor_words(),
                unit.show(row.floor_p50(&self.floors)),
                ratio(p50),
                ratio(p99),
                row.bar.to_owned(),
            ]);
        }
        table
    }
}

/// Writes a number with a comma between thousands.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_digits() {
        let shown = |value| Unit::Millis.show(Some(value));
        assert_eq!([0.0414, 1.234, 56.78, 1234.5].map(shown), ["0.041 ms", "1.23 ms", "56.8 ms", "1234 ms"]);
        assert_eq!(Unit::PerSecond.show(Some(32.06)), "32.1/s");
        assert_eq!(Unit::Millis.show(None), "–");
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn the_p99_of_a_throughput_is_on_its_slow_side() {
        let samples = Samples::of([10.0, 20.0, 30.0]);
        assert_eq!((Unit::Millis.p99(&samples), Unit::PerSecond.p99(&samples)), (Some(30.0), Some(10.0)));
        assert_eq!(Unit::Millis.p99(&Samples::of([1.0])), None);
    }
}
