//! Finding processes by a mark among their arguments, which no detaching can shake off.

use std::fs;
use std::thread;
use std::time::Duration;

/// Lists the living processes that have the mark among their arguments.
pub(crate) fn living(mark: &str) -> Vec<String> {
    let mut found = living_with_stages(mark);
    found.retain(|line| !line.contains(" agent-shim ") && !line.contains(" agent-exec "));
    found
}

/// The same with the supervising stages, which carry the agent's arguments and are no part of it.
fn living_with_stages(mark: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| line.split(|byte| *byte == 0).any(|arg| arg == mark.as_bytes()))
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .collect()
}

/// Waits until as many marked processes live.
pub(crate) fn await_count(mark: &str, count: usize) {
    await_until(&format!("{count} processes marked {mark}"), || living(mark).len() >= count);
}

/// Waits until no marked process lives.
pub(crate) fn await_none(mark: &str) {
    await_until(&format!("the end of all processes marked {mark}"), || living(mark).is_empty());
}

/// Waits until no marked process lives, and no stage either.
pub(crate) fn await_no_stage(mark: &str) {
    await_until(&format!("the end of all stages marked {mark}"), || living_with_stages(mark).is_empty());
}

/// Waits for what gives no signal to wait on. The bound only turns a hang into a failure with a name.
pub(crate) fn await_until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..24_000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("never came: {what}");
}
