//! Which moments a cron expression means in a time zone, over changes of its clocks too.
//!
//! The rules are those of Vixie's cron, which people know:
//!
//! - An expression for certain hours means times that the clocks show. One that they skip in spring runs at the first
//!   moment after the gap, and if several fall into the gap, they run as one. One that they show twice in autumn runs the
//!   first time. So what is due once a day runs once on each day.
//! - An expression for every hour of the day means a rhythm. It runs whenever the clocks show a matching time, the same
//!   one twice in autumn, and never for a time that they skip. So what is due every five minutes is never silent for an
//!   hour, and does not run twice in a row.
//!
//! Due times of one schedule rise strictly: no moment comes twice.

use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use super::expression::Expression;
use crate::domain::FieldError;

/// Clocks skip whole minutes, and at most a day of them (Samoa's, in 2011).
const MAX_GAP_MINUTES: i64 = 24 * 60;

/// When a schedule is due.
#[derive(Clone, Debug)]
pub struct Recurrence {
    expression: Expression,
    zone: Tz,
}

impl Recurrence {
    /// Reads a cron expression and the name of a time zone.
    ///
    /// # Errors
    /// Names what cannot be taken as `cron` and `timeZone`, and says why.
    pub fn parse(cron: &str, time_zone: &str) -> Result<Self, Vec<FieldError>> {
        let expression = Expression::parse(cron).map_err(|problem| FieldError::new("cron", problem));
        let zone = time_zone.parse::<Tz>().map_err(|_unknown| {
            FieldError::new(
                "timeZone",
                "is no name of the IANA time zone database, such as Europe/Berlin or UTC",
            )
        });
        match (expression, zone) {
            (Ok(expression), Ok(zone)) => Ok(Self { expression, zone }),
            (expression, zone) => Err([expression.err(), zone.err()].into_iter().flatten().collect()),
        }
    }

    /// Returns the first due time after a moment; none if the expression has no more before the year 2101.
    #[must_use]
    pub fn next_after(&self, moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let shown = moment.with_timezone(&self.zone).naive_local();
        let later = |due: &DateTime<Utc>| *due > moment;
        if !self.expression.is_every_hour() {
            return self.matching_after(shown).filter_map(|time| self.at_or_after(time)).find(later);
        }
        let first = self.matching_after(shown).filter_map(|time| self.shown_first(time)).find(later);
        // While the clocks show a time that they show twice, what they have shown already comes again.
        let repeated = self.matching_after(shown - self.repeated(shown));
        let again = repeated.filter_map(|time| self.shown_last(time)).find(later);
        [first, again].into_iter().flatten().min()
    }

    /// Lists the times that match after another one.
    fn matching_after(&self, time: NaiveDateTime) -> impl Iterator<Item = NaiveDateTime> {
        std::iter::successors(self.expression.next_after(time), |time| self.expression.next_after(*time))
    }

    fn shown_first(&self, time: NaiveDateTime) -> Option<DateTime<Utc>> {
        self.zone.from_local_datetime(&time).earliest().map(|moment| moment.to_utc())
    }

    fn shown_last(&self, time: NaiveDateTime) -> Option<DateTime<Utc>> {
        self.zone.from_local_datetime(&time).latest().map(|moment| moment.to_utc())
    }

    /// Returns when the clocks show a time first, or the end of the gap if they skip it.
    fn at_or_after(&self, time: NaiveDateTime) -> Option<DateTime<Utc>> {
        let minute = time.with_second(0)?;
        let later = (1..=MAX_GAP_MINUTES).map(|minutes| minute + TimeDelta::minutes(minutes));
        std::iter::once(time).chain(later).find_map(|time| self.shown_first(time))
    }

    /// Returns how long after its first showing the clocks show a time again: nothing for most.
    fn repeated(&self, time: NaiveDateTime) -> TimeDelta {
        match (self.shown_first(time), self.shown_last(time)) {
            (Some(first), Some(last)) => last - first,
            (None, _) | (_, None) => TimeDelta::zero(),
        }
    }
}

#[cfg(test)]
mod tests;
