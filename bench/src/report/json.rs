//! The figures for programs: numbers as they are, in milliseconds or per second.

use serde_json::{Value, json};

use super::{Report, Unit};
use crate::floors::Floor;
use crate::samples::Samples;

impl Report {
    /// Returns everything.
    pub(super) fn json(&self) -> Value {
        let floors = Floor::ALL.map(|floor| {
            let mut entry = figures(floor.unit(), &self.floors.samples(floor));
            entry["name"] = json!(floor.name());
            entry
        });
        let rows = self.rows.iter().map(|row| {
            let mut entry = figures(row.unit, &row.samples);
            entry["name"] = json!(row.name);
            entry["floor"] = json!({"parts": row.floor_words(), "p50": self.floors.median_of(row.floor)});
            entry["ratio"] = json!(row.ratio(&self.floors));
            entry
        });
        json!({
            "machine": self.machine,
            "settings": self.settings,
            "doubts": self.machine.doubts(),
            "floors": floors,
            "rows": rows.collect::<Vec<_>>(),
        })
    }
}

fn figures(unit: Unit, samples: &Samples) -> Value {
    json!({"unit": unit, "n": samples.len(), "p50": unit.p50(samples), "p99": unit.p99(samples)})
}
