//! What keeps a client from asking its model for a while, and until when, out of the words of its errors.
//!
//! Read are only errors that ended a turn, never what the model said.

mod reset_time;

use chrono::{DateTime, TimeDelta, Utc};

use super::heard::cut;

/// How much of an error is kept.
const MAX_MESSAGE_BYTES: usize = 500;
/// The longest wait that a client is believed: subscriptions have limits by the week.
const LONGEST_WAIT: TimeDelta = TimeDelta::days(8);

/// What kind of limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitKind {
    /// What was paid for is used up.
    Usage,
    /// Too many requests at once.
    Rate,
    /// The vendor has no room.
    Overload,
    /// The login is no longer good.
    Login,
}

impl LimitKind {
    /// Returns the code of such an end.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Usage => "AGENT_USAGE_LIMIT",
            Self::Rate => "AGENT_RATE_LIMITED",
            Self::Overload => "AGENT_OVERLOADED",
            Self::Login => "AGENT_LOGIN_EXPIRED",
        }
    }
}

/// A limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) kind: LimitKind,
    /// When it ends, if the client says so.
    pub(crate) until: Option<DateTime<Utc>>,
    /// The client's words.
    pub(crate) message: String,
}

impl Limit {
    /// Makes a limit; a time that cannot be meant is left out.
    pub(crate) fn new(
        kind: LimitKind,
        until: Option<DateTime<Utc>>,
        message: &str,
        now: DateTime<Utc>,
    ) -> Self {
        let until = until.filter(|until| *until > now && *until - now <= LONGEST_WAIT);
        Self { kind, until, message: cut(message.trim(), MAX_MESSAGE_BYTES) }
    }

    /// Recognizes a limit in what ended a turn: the HTTP status, where the client tells it, and the words.
    pub(crate) fn of_error(status: Option<u64>, text: &str, now: DateTime<Utc>) -> Option<Self> {
        let lower = text.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let status = status.or_else(|| status_in(&lower));
        let kind = if has(&[
            "usage limit",
            "hit your limit",
            "session limit",
            "weekly limit",
            "usage_limit_reached",
            "insufficient_quota",
            "exceeded your current quota",
            "quota exceeded. check your plan",
            "credit balance is too low",
        ]) {
            LimitKind::Usage
        } else if status == Some(401)
            || has(&[
                "invalid api key",
                "please run /login",
                "oauth token has expired",
                "authentication_error",
            ])
        {
            LimitKind::Login
        } else if status == Some(529) || has(&["overloaded", "at capacity"]) {
            LimitKind::Overload
        } else if status == Some(429) || has(&["rate_limit_error", "rate limit reached", "too many requests"])
        {
            LimitKind::Rate
        } else if status == Some(503) {
            LimitKind::Overload
        } else {
            return None;
        };
        Some(Self::new(kind, reset_time::find(&lower, text, now), text, now))
    }
}

/// Finds the HTTP status that a text names: three digits right behind the word `status`, or an error's first word.
fn status_in(lower: &str) -> Option<u64> {
    let behind = ["status code", "status", "api error:", "http"];
    let found = behind.iter().find_map(|word| {
        let rest = lower.split_once(word)?.1.trim_start_matches([' ', ':', '=', '"']);
        let digits = rest.get(..3)?;
        let ends = rest[3..].chars().next().is_none_or(|next| !next.is_alphanumeric());
        digits.parse().ok().filter(|_| ends)
    });
    found.filter(|status| (400..600).contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-02-03T12:00:00Z".parse().unwrap()
    }

    fn of(status: Option<u64>, text: &str) -> Option<(LimitKind, Option<String>)> {
        let limit = Limit::of_error(status, text, now())?;
        Some((limit.kind, limit.until.map(|until| until.format("%m-%dT%H:%M:%S").to_string())))
    }

    fn at(kind: LimitKind, time: &str) -> Option<(LimitKind, Option<String>)> {
        Some((kind, Some(time.to_owned())))
    }

    #[test]
    fn limits_are_told_from_failures() {
        use LimitKind::{Login, Overload, Rate, Usage};
        assert_eq!(of(Some(429), "API Error: 429 rate_limit_error"), Some((Rate, None)));
        assert_eq!(of(Some(529), "API Error: 529 overloaded_error"), Some((Overload, None)));
        assert_eq!(of(Some(401), "Failed to authenticate"), Some((Login, None)));
        assert_eq!(of(None, "Invalid API key · Please run /login"), Some((Login, None)));
        assert_eq!(of(None, "unexpected status 401 Unauthorized: no"), Some((Login, None)));
        assert_eq!(of(None, "exceeded retry limit, last status: 429 Too Many Requests"), Some((Rate, None)));
        assert_eq!(of(None, "Credit balance is too low"), Some((Usage, None)));
        assert_eq!(of(Some(400), "API Error: 400 the prompt is too long"), None);
        assert_eq!(of(Some(500), "API Error: 500 internal"), None);
        assert_eq!(of(None, "status 4290 apples"), None);
        assert_eq!(of(None, "no such file"), None);
    }

    #[test]
    fn the_end_of_a_limit_is_read_as_each_client_says_it() {
        use LimitKind::Usage;
        let cases = [
            ("Claude AI usage limit reached|1770130800", "02-03T15:00:00"),
            ("You've hit your limit · resets 10pm (America/New_York)", "02-04T03:00:00"),
            ("You've hit your session limit · resets 1:40pm (Europe/Paris)", "02-03T12:40:00"),
            ("You've hit your limit · resets Feb 5, 11:30am (Asia/Calcutta)", "02-05T06:00:00"),
            ("Claude usage limit reached. Your limit will reset at 9am (America/Chicago).", "02-03T15:00:00"),
            (
                "You've hit your usage limit. Upgrade or try again in 2 days 17 hours 14 minutes.",
                "02-06T05:14:00",
            ),
            ("You've hit your usage limit. or try again at Feb 5th, 2026 12:16 PM.", "02-05T12:16:00"),
            ("{\"type\":\"usage_limit_reached\",\"resets_at\":1770130800}", "02-03T15:00:00"),
            ("{\"type\":\"usage_limit_reached\",\"resets_in_seconds\":3600}", "02-03T13:00:00"),
        ];
        for (text, time) in cases {
            assert_eq!(of(None, text), at(Usage, time), "{text}");
        }
        assert_eq!(
            of(None, "Rate limit reached. Please try again in 20s."),
            at(LimitKind::Rate, "02-03T12:00:20")
        );
    }

    #[test]
    fn a_time_that_cannot_be_meant_is_left_out() {
        for text in [
            "Claude AI usage limit reached|1670130800",
            "usage limit: try again in 400 days",
            "usage limit: resets at noon",
            "usage limit: resets 99:99pm (Nowhere/Here)",
            "usage limit|99999999999999999999999999",
        ] {
            assert_eq!(of(None, text), Some((LimitKind::Usage, None)), "{text}");
        }
    }
}
