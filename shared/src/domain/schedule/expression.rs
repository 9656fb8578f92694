//! What a cron expression means: the times of a clock on the wall, whatever moments those may be.
//!
//! The `cron` crate finds the times. Three things it takes differently from every cron that people know, and they are
//! put right here: it wants a field of seconds, counts weekdays from 1, and takes a day only if it matches both by its
//! place in the month and by its weekday. It is asked about times without a zone: where clocks change, its answers skip
//! hours or go back.

use chrono::{DateTime, NaiveDateTime};
use cron::TimeUnitSpec;

/// The longest expression, in bytes.
const MAX_BYTES: usize = 200;
/// The longest piece of an expression that an error repeats.
const MAX_SHOWN_CHARS: usize = 40;
/// The fields, with what they take.
const FIELDS: [&str; 6] = [
    "seconds (0 to 59)",
    "minutes (0 to 59)",
    "hours (0 to 23)",
    "days of the month (1 to 31)",
    "months (1 to 12 or JAN to DEC)",
    "days of the week (0 to 7 or SUN to SAT)",
];
const DAY: usize = 3;
const WEEKDAY: usize = 5;
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A cron expression that was understood.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    /// A time matches if one of these does. There are two where a day may match in either of two ways.
    schedules: Vec<cron::Schedule>,
}

impl Expression {
    /// Reads an expression of five fields, of six with seconds in front, or a word such as `@daily`.
    ///
    /// # Errors
    /// Says what is wrong, to be read behind the field's name.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES || !text.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
            return Err(format!("must be one line of up to {MAX_BYTES} ASCII characters"));
        }
        let mut fields = split(spelled_out(text.trim()))?;
        let either = [DAY, WEEKDAY].iter().all(|field| !fields[*field].starts_with(['*', '?']));
        fields[WEEKDAY] = renumbered(&fields[WEEKDAY]).ok_or_else(|| problem(WEEKDAY, &fields[WEEKDAY]))?;
        let schedules = if either {
            vec![schedule(&without(&fields, WEEKDAY))?, schedule(&without(&fields, DAY))?]
        } else {
            vec![schedule(&fields)?]
        };
        let expression = Self { schedules };
        match expression.next_after(DateTime::UNIX_EPOCH.naive_utc()) {
            Some(_) => Ok(expression),
            None => Err("names a date that never comes".to_owned()),
        }
    }

    /// Returns the first matching time after another one.
    pub(super) fn next_after(&self, time: NaiveDateTime) -> Option<NaiveDateTime> {
        let next = |schedule: &cron::Schedule| schedule.after(&time.and_utc()).next();
        self.schedules.iter().filter_map(next).min().map(|next| next.naive_utc())
    }

    /// Tells whether it names every hour of the day.
    pub(super) fn is_every_hour(&self) -> bool {
        self.schedules.iter().all(|schedule| schedule.hours().is_all())
    }
}

/// Writes the words that stand for whole expressions as fields.
fn spelled_out(text: &str) -> &str {
    match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        fields => fields,
    }
}

fn split(text: &str) -> Result<[String; 6], String> {
    let mut fields: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
    if fields.len() == 5 {
        fields.insert(0, "0".to_owned());
    }
    fields.try_into().map_err(|_other: Vec<String>| {
        "must have five fields (minute, hour, day of the month, month, day of the week), six with seconds in front, or \
         be one of @hourly, @daily, @weekly, @monthly, @yearly"
            .to_owned()
    })
}

fn without(fields: &[String; 6], field: usize) -> [String; 6] {
    let mut fields = fields.clone();
    fields[field] = "*".to_owned();
    fields
}

fn schedule(fields: &[String; 6]) -> Result<cron::Schedule, String> {
    fields.join(" ").parse().map_err(|_unnamed_place| {
        let alone = |field: usize| {
            let mut all: [&str; 6] = ["*"; 6];
            all[field] = &fields[field];
            all.join(" ").parse::<cron::Schedule>()
        };
        let bad = (0..fields.len()).find(|field| alone(*field).is_err());
        bad.map_or_else(|| "is no cron expression".to_owned(), |field| problem(field, &fields[field]))
    })
}

fn problem(field: usize, text: &str) -> String {
    let shown: String = text.chars().take(MAX_SHOWN_CHARS).collect();
    format!("cannot take '{shown}' for the {}", FIELDS[field])
}

/// Writes a field of weekdays, which count from 0 or 7 for Sunday, as the crate counts them: from 1 for Sunday.
fn renumbered(field: &str) -> Option<String> {
    let mut matching = [false; 7];
    for item in field.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<usize>().ok().filter(|step| *step > 0)?)),
            None => (item, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if matches!(range, "*" | "?") => (0, 6),
            Some((first, last)) => (weekday(first)?, weekday(last)?),
            None if step.is_some() => (weekday(range)?, 6),
            None => (weekday(range)?, weekday(range)?),
        };
        // A week that does not begin on Sunday ends on it.
        let last = if last == 0 && first > 0 { 7 } else { last };
        if first > last {
            return None;
        }
        for day in (first..=last).step_by(step.unwrap_or(1)) {
            matching[day % 7] = true;
        }
    }
    let days: Vec<_> = (1..=7).filter(|day| matching[day - 1]).map(|day| day.to_string()).collect();
    Some(days.join(","))
}

fn weekday(text: &str) -> Option<usize> {
    match text.as_bytes() {
        [digit @ b'0'..=b'7'] => Some(usize::from(digit - b'0')),
        _ => WEEKDAYS.iter().position(|name| name.eq_ignore_ascii_case(text)),
    }
}

#[cfg(test)]
mod tests;
