//! The figures for programs: numbers as they are, in milliseconds or per second.

use serde_json::{Value, json};

use super::{Part, Report, Unit};
use crate::floors::Floor;
use crate::samples::Samples;

impl Report {
    /// Returns everything.
    pub(super) fn json(&self) -> Value {
        let parts = self.parts.iter().map(Part::json).collect::<Vec<_>>();
        json!({"machine": self.machine, "doubts": self.machine.doubts(), "parts": parts})
    }
}

impl Part {
    fn json(&self) -> Value {
        let floors = Floor::ALL.map(|floor| {
            let mut entry = figures(floor.unit(), &self.floors.samples(floor));
            entry["name"] = json!(floor.name());
            entry
        });
        let rows = self.rows.iter().map(|row| {
            let (p50, p99) = (row.unit.p50(&row.samples), row.unit.p99(&row.samples));
            let mut entry = figures(row.unit, &row.samples);
            entry["name"] = json!(row.name);
            entry["floor"] = json!({"parts": row.floor_words(), "p50": row.floor_p50(&self.floors)});
            entry["ratio"] =
                json!({"p50": row.ratio(p50, &self.floors), "p99": row.ratio(p99, &self.floors)});
            entry["bar"] = json!(row.bar);
            entry
        });
        json!({
            "title": self.title,
            "about": self.about,
            "floors": floors,
            "rows": rows.collect::<Vec<_>>(),
        })
    }
}

fn figures(unit: Unit, samples: &Samples) -> Value {
    json!({"unit": unit, "n": samples.len(), "p50": unit.p50(samples), "p99": unit.p99(samples)})
}
