//! When a limit ends, out of a client's words. Clients say it in many ways, and change them: what is not understood is no
//! time, and the worker waits by its own measure.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// How far behind its mark a time may stand.
const REACH_BYTES: usize = 80;
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Finds the time. `lower` is the text in small letters.
pub(super) fn find(lower: &str, text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    moment(lower, "|")
        .or_else(|| moment(lower, "resets_at"))
        .or_else(|| {
            Some(now + TimeDelta::try_seconds(i64::try_from(number(lower, "resets_in_seconds")?).ok()?)?)
        })
        .or_else(|| span(lower, now))
        .or_else(|| clock(lower, text, now))
}

/// Reads the seconds since 1970 behind a mark.
fn moment(lower: &str, mark: &str) -> Option<DateTime<Utc>> {
    let seconds = number(lower, mark)?;
    (1_000_000_000..10_000_000_000).contains(&seconds).then_some(())?;
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, 0)
}

fn number(lower: &str, mark: &str) -> Option<u64> {
    let rest = lower.split_once(mark)?.1.trim_start_matches(['"', ':', ' ', '=']);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

fn behind<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    let rest = text.split_once(mark)?.1;
    Some(&rest[..rest.floor_char_boundary(REACH_BYTES)])
}

/// Reads `try again in 2 days 17 hours 14 minutes`, or `in 20s`.
fn span(lower: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let rest = behind(lower, "try again in ")?;
    let mut secs = 0.0;
    let mut amount = None;
    for word in rest.split([' ', ',']).filter(|word| !word.is_empty()) {
        let digits = word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len());
        if let Ok(number) = word[..digits].parse::<f64>() {
            amount = Some(number);
        }
        let unit = word[digits..].trim_end_matches('.');
        let length = match unit {
            "" => continue,
            "ms" => 0.001,
            "s" | "sec" | "second" | "seconds" => 1.0,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86_400.0,
            _ => break,
        };
        secs += amount.take()? * length;
    }
    (secs > 0.0 && secs < 1e9).then_some(())?;
    #[allow(clippy::cast_possible_truncation, reason = "bounded right above")]
    let millis = (secs * 1000.0) as i64;
    Some(now + TimeDelta::milliseconds(millis))
}

/// Reads what a clock shows: `resets 10pm (America/New_York)`, `try again at Sep 5th, 2026 12:16 PM`. Without a zone it is
/// that of the worker, which the client was given.
fn clock(lower: &str, text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let marks = ["resets at ", "reset at ", "resets ", "try again at "];
    let rest = marks.iter().find_map(|mark| behind(lower, mark))?;
    let (mut month, mut day, mut time) = (None, None, None);
    for word in rest.split([' ', ',', '\u{202f}']).filter(|word| !word.is_empty()).take(8) {
        let word = word.trim_end_matches('.');
        if let Some(place) = MONTHS.iter().position(|name| word.starts_with(name)) {
            month = u32::try_from(place + 1).ok();
        } else if let Some((hour, minute, half)) = read_clock(word) {
            time = Some((hour, minute, half));
            if half.is_some() {
                break;
            }
        } else if let (Some((hour, minute, None)), Some(half)) = (time, read_half(word)) {
            time = Some((hour, minute, Some(half)));
            break;
        } else if month.is_some() && day.is_none() {
            day = word.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse().ok();
        }
    }
    let (hour, minute, half) = time?;
    let time = NaiveTime::from_hms_opt(of_day(hour, half)?, minute, 0)?;
    let zone = zone(text).or_else(|| std::env::var("TZ").ok()?.parse().ok()).unwrap_or(Tz::UTC);
    let today = now.with_timezone(&zone).date_naive();
    let days: Vec<NaiveDate> = match month.zip(day) {
        Some((month, day)) => [today.year(), today.year() + 1]
            .iter()
            .filter_map(|year| NaiveDate::from_ymd_opt(*year, month, day))
            .collect(),
        None => vec![today, today.succ_opt()?],
    };
    let at = |day: &NaiveDate| zone.from_local_datetime(&day.and_time(time)).earliest();
    days.iter().filter_map(at).map(|at| at.with_timezone(&Utc)).find(|at| *at > now)
}

/// Which half of the day.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Morning,
    Afternoon,
}

fn read_half(word: &str) -> Option<Half> {
    match word {
        "am" | "a.m" => Some(Half::Morning),
        "pm" | "p.m" => Some(Half::Afternoon),
        _ => None,
    }
}

/// Reads `10pm`, `11:30am` or `12:16`.
fn read_clock(word: &str) -> Option<(u32, u32, Option<Half>)> {
    let digits = word.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(word.len());
    let (clock, rest) = word.split_at(digits);
    let half = if rest.is_empty() { None } else { Some(read_half(rest)?) };
    match clock.split_once(':') {
        Some((hour, minute)) => Some((hour.parse().ok()?, minute.parse().ok()?, half)),
        None => Some((clock.parse().ok()?, 0, Some(half?))),
    }
}

fn of_day(hour: u32, half: Option<Half>) -> Option<u32> {
    match half {
        None => Some(hour),
        Some(_) if !(1..=12).contains(&hour) => None,
        Some(Half::Morning) => Some(hour % 12),
        Some(Half::Afternoon) => Some(hour % 12 + 12),
    }
}

/// Reads the zone in brackets.
fn zone(text: &str) -> Option<Tz> {
    let name = text.split_once('(')?.1.split_once(')')?.0;
    name.parse().ok()
}
