//! Every metric of makima: its name, its type, its labels and what it means, in one table.
//!
//! What is recorded is recorded under a constant of this file. `docs/METRICS.md` has the same table for people; tests see
//! to it that the two agree, and that no name is written anywhere else.

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, from 0 at the start of its process.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts seconds into buckets.
    Histogram(Buckets),
}

impl Kind {
    /// Returns the word that Prometheus has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// The upper bounds of a histogram's buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buckets {
    /// For one exchange with a server: half a millisecond to half a minute.
    Exchange,
    /// For what waits for its turn: a millisecond to four hours.
    Wait,
    /// For work on files: five milliseconds to five minutes.
    Files,
    /// For what an agent does: a tenth of a second to a day.
    Agent,
}

impl Buckets {
    /// Returns the bounds, in seconds.
    #[must_use]
    pub fn bounds(self) -> &'static [f64] {
        match self {
            Self::Exchange => {
                &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]
            }
            Self::Wait => &[
                0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0,
                14_400.0,
            ],
            Self::Files => {
                &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0]
            }
            Self::Agent => &[
                0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0,
                86_400.0,
            ],
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, by the conventions of Prometheus: `_total` for counters, units in full.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The labels that each of its samples has.
    pub labels: &'static [&'static str],
    /// What it tells, in one sentence without a full stop.
    pub help: &'static str,
}

/// Makes a constant of each name, and the table of all.
macro_rules! metrics {
    ($($constant:ident = $kind:expr, $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help, ".")]
            pub const $constant: &str = $name;
        )+

        /// Every metric there is, in the order of the documentation.
        pub const ALL: &[Metric] =
            &[$(Metric { name: $name, kind: $kind, labels: &[$($label),*], help: $help }),+];

        #[cfg(test)]
        const CONSTANTS: &[&str] = &[$(stringify!($constant)),+];
    };
}

use Buckets::{Agent, Exchange, Files, Wait};
use Kind::{Counter, Gauge, Histogram};

metrics! {
    HTTP_REQUESTS = Counter, "makima_http_requests_total" ["method", "route", "status"]
        "Requests to the API that were answered";
    HTTP_REQUEST_SECONDS = Histogram(Exchange), "makima_http_request_seconds" ["method", "route"]
        "From a request's head to the head of its answer";
    HINTS_LOST = Counter, "makima_hints_lost_total" []
        "Hints to Redis that were given up; the scheduler makes up for them";

    STORE_ERRORS = Counter, "makima_store_errors_total" ["kind"]
        "Statements that failed: unavailable (PostgreSQL is away or full) or refused (a bug)";
    QUEUE_ERRORS = Counter, "makima_queue_errors_total" []
        "Commands to Redis that failed";
    STALE_WRITES = Counter, "makima_stale_writes_total" []
        "Writes of attempts that were over, refused by their epoch";
    TRANSITIONS = Counter, "makima_transitions_total" ["transition"]
        "Moves of tasks by their names, apart from claims and releases";
    TRANSITION_SECONDS = Histogram(Exchange), "makima_transition_seconds" []
        "How long the store took for a move of tasks";
    ATTEMPTS = Counter, "makima_attempts_total" ["outcome"]
        "Attempts that ended, counted where their end was written";

    CLAIMS = Counter, "makima_claims_total" []
        "Tasks that the worker claimed";
    CLAIM_SECONDS = Histogram(Exchange), "makima_claim_seconds" []
        "From asking Redis for tasks to having claimed them in PostgreSQL, where there were any";
    QUEUE_WAIT_SECONDS = Histogram(Wait), "makima_queue_wait_seconds" []
        "How long a task had been queued when it was claimed";
    PREPARE_SECONDS = Histogram(Files), "makima_prepare_seconds" []
        "From the claim to the start of the agent: repository, workspace, last checkpoint";
    ATTEMPT_SECONDS = Histogram(Agent), "makima_attempt_seconds" ["outcome"]
        "From the claim to the end of an attempt that its own worker ended";
    CHECKPOINTS = Counter, "makima_checkpoints_total" []
        "Checkpoints that were stored";
    CHECKPOINT_SECONDS = Histogram(Files), "makima_checkpoint_seconds" []
        "How long a checkpoint took that was stored: reading the tree, making the patch, storing it";

    LEADER = Gauge, "makima_leader" []
        "1 while the scheduler leads, else 0";
    RECONCILE_SECONDS = Histogram(Exchange), "makima_reconcile_seconds" ["reconciler"]
        "Runs of a reconciler and how long they took";
    RECONCILED = Counter, "makima_reconciled_total" ["reconciler"]
        "Rows or entries that a reconciler changed";
    RECONCILE_ERRORS = Counter, "makima_reconcile_errors_total" ["reconciler"]
        "Runs of a reconciler that failed";
    LEASE_EXPIRIES = Counter, "makima_lease_expiries_total" ["cause"]
        "Workers that the scheduler ended: their lease ran out, or their connection broke and their beat was overdue";
    SCHEDULE_RUNS = Counter, "makima_schedule_runs_total" ["outcome"]
        "Due times of cron schedules that were dealt with";
    QUEUE_DEPTH = Gauge, "makima_queue_depth" ["priority"]
        "Queued tasks; from the leading scheduler";
    QUEUE_OLDEST_AGE_SECONDS = Gauge, "makima_queue_oldest_age_seconds" ["priority"]
        "How long the oldest queued task has been queued; from the leading scheduler";
    TASKS = Gauge, "makima_tasks" ["status"]
        "Tasks that are pending, queued, starting or running; from the leading scheduler";
    WORKERS_ALIVE = Gauge, "makima_workers_alive" []
        "Workers whose lease holds; from the leading scheduler";
    SLOTS = Gauge, "makima_slots" []
        "Slots of the workers that are alive; from the leading scheduler";
    SLOTS_BUSY = Gauge, "makima_slots_busy" []
        "Slots of the workers that are alive which hold a task; from the leading scheduler";
    MEASURE_SECONDS = Histogram(Exchange), "makima_measure_seconds" []
        "What measuring queue, tasks and workers cost the leading scheduler";
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn names_say_their_unit_and_type() {
        for metric in ALL {
            assert!(metric.name.starts_with("makima_"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Counter, "{}", metric.name);
            if let Histogram(buckets) = metric.kind {
                assert!(metric.name.ends_with("_seconds"), "{}", metric.name);
                assert!(buckets.bounds().is_sorted(), "{}", metric.name);
            }
            assert!(!metric.help.ends_with('.') && !metric.help.contains('|'), "{}", metric.name);
        }
    }

    #[test]
    fn the_document_has_the_same_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/METRICS.md");
        let document = std::fs::read_to_string(path).unwrap();
        let rows: Vec<&str> = document.lines().filter(|line| line.starts_with("| `makima_")).collect();
        let table: Vec<String> = ALL.iter().map(row).collect();
        assert_eq!(rows, table, "docs/METRICS.md should have these rows:\n{}", table.join("\n"));
    }

    #[test]
    fn every_metric_is_recorded_and_by_its_constant() {
        let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let mut sources = String::new();
        for role in ["shared", "api", "scheduler", "worker"] {
            read_sources(Path::new(&format!("{workspace}/{role}/src")), &mut sources);
        }
        let joined: String = sources.split_whitespace().collect();
        for written_out in ["counter!(\"", "gauge!(\"", "histogram!(\""] {
            // The quotation mark is escaped here, so that this line is none of those.
            assert!(!joined.contains(&format!("metrics::{written_out}")), "a name outside of the table");
        }
        for constant in CONSTANTS {
            assert!(joined.contains(&format!("names::{constant}")), "{constant} is recorded nowhere");
        }
    }

    fn read_sources(directory: &Path, sources: &mut String) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read_sources(&path, sources);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }

    fn row(metric: &Metric) -> String {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let Metric { name, kind, help, .. } = metric;
        let row = format!("| `{name}` | {} | {} | {help} |", kind.as_str(), labels.join(", "));
        row.replace("|  |", "| |")
    }
}
