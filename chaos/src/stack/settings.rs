//! The settings of a run: everything that takes seconds in production takes a part of one here.

use std::time::Duration;

/// How long a worker holds its tasks without a beat.
pub(crate) const WORKER_LEASE: Duration = Duration::from_secs(3);
/// How long a dead leader keeps the lead.
pub(crate) const LEADER_LEASE: Duration = Duration::from_millis(1500);

/// What every role finds in its environment.
pub(super) const SETTINGS: [(&str, &str); 13] = [
    ("MAKIMA_REPOSITORIES_ALLOW_LOCAL", "true"),
    ("MAKIMA_SCHEDULER_LEASE_MS", "1500"),
    ("MAKIMA_SCHEDULER_SWEEP_MS", "400"),
    ("MAKIMA_SCHEDULER_EXCLUSION_GRACE_MS", "1000"),
    ("MAKIMA_RETRY_BASE_DELAY_MS", "200"),
    ("MAKIMA_RETRY_MAX_DELAY_MS", "1000"),
    ("MAKIMA_WORKER_LEASE_MS", "3000"),
    ("MAKIMA_WORKER_BEAT_MS", "300"),
    ("MAKIMA_WORKER_STOP_GRACE_MS", "500"),
    // Less than the agent that floods says.
    ("MAKIMA_WORKER_MAX_OUTPUT_BYTES", "262144"),
    // Its agents write journals outside of their workspaces, by which they are judged.
    ("MAKIMA_WORKER_SANDBOX", "none"),
    ("MAKIMA_LOG_FORMAT", "text"),
    ("MAKIMA_LOG_FILTER", "info"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_say_what_the_figures_do() {
        let milliseconds = |duration: Duration| duration.as_millis().to_string();
        for (name, value) in [
            ("MAKIMA_WORKER_LEASE_MS", milliseconds(WORKER_LEASE)),
            ("MAKIMA_SCHEDULER_LEASE_MS", milliseconds(LEADER_LEASE)),
        ] {
            assert!(SETTINGS.iter().any(|(key, set)| *key == name && *set == value), "{name}");
        }
    }
}
