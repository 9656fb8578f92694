//! Times, as distances that people read at a glance.

use chrono::{DateTime, TimeDelta, Utc};

/// Returns how long something took: `35ms`, `1.8s`, `12s`, `3m 05s`, `2h 10m`, `3d 4h`.
pub(crate) fn span(delta: TimeDelta) -> String {
    let millis = delta.num_milliseconds().max(0);
    let (tenths, seconds) = (millis / 100, millis / 1000);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        ..1 => format!("{millis}ms"),
        1..10 => format!("{}.{}s", tenths / 10, tenths % 10),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// Returns how long ago something was, in its largest unit alone.
pub(super) fn ago(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    distance(now - then).map_or_else(|| "now".to_owned(), |distance| format!("{distance} ago"))
}

/// Returns how long it is until something, in its largest unit alone.
pub(super) fn ahead(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    distance(then - now).map_or_else(|| "now".to_owned(), |distance| format!("in {distance}"))
}

fn distance(delta: TimeDelta) -> Option<String> {
    let seconds = delta.num_seconds();
    match seconds {
        ..1 => None,
        1..60 => Some(format!("{seconds}s")),
        60..3600 => Some(format!("{}m", seconds / 60)),
        3600..86_400 => Some(format!("{}h", seconds / 3600)),
        _ => Some(format!("{}d", seconds / 86_400)),
    }
}

/// Returns a time with its distance from now.
pub(super) fn at(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let distance = if then > now { ahead(then, now) } else { ago(then, now) };
    format!("{} UTC ({distance})", then.format("%Y-%m-%d %H:%M:%S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_two_units_at_most() {
        let cases = [
            (0, "0ms"),
            (850, "850ms"),
            (9_960, "9.9s"),
            (12_300, "12s"),
            (185_000, "3m 05s"),
            (7_800_000, "2h 10m"),
            (273_600_000, "3d 4h"),
        ];
        for (millis, text) in cases {
            assert_eq!(span(TimeDelta::milliseconds(millis)), text);
        }
        assert_eq!(span(TimeDelta::seconds(-5)), "0ms");
    }

    #[test]
    fn distances_show_the_largest_unit_and_no_future() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(30);
        let before = |seconds| ago(now - TimeDelta::seconds(seconds), now);
        assert_eq!([before(-4), before(0), before(59)], ["now", "now", "59s ago"]);
        assert_eq!([before(119), before(7200), before(200_000)], ["1m ago", "2h ago", "2d ago"]);
        let after = |seconds| ahead(now + TimeDelta::seconds(seconds), now);
        assert_eq!([after(-4), after(0), after(59), after(7200)], ["now", "now", "in 59s", "in 2h"]);
        assert_eq!(at(now + TimeDelta::hours(5), now), "1970-01-31 05:00:00 UTC (in 5h)");
    }
}
