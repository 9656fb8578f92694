//! The clock of lease deadlines: one for all processes of a machine, which also counts while the machine is suspended.

use nix::time::{ClockId, clock_gettime};

/// Reads the time since the machine started in milliseconds (`CLOCK_BOOTTIME`, else `CLOCK_MONOTONIC`).
pub fn boottime_ms() -> u64 {
    #[cfg(target_os = "linux")]
    let clock = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::CLOCK_MONOTONIC;
    // Reading a clock that exists cannot fail. Were it to, the far future makes every lease run out: the safe side.
    clock_gettime(clock).map_or(u64::MAX, |time| {
        let (seconds, nanos) = (time.tv_sec().unsigned_abs(), time.tv_nsec().unsigned_abs());
        seconds * 1_000 + nanos / 1_000_000
    })
}
