use chrono::NaiveDate;
use proptest::prelude::*;

use super::*;

fn recurrence(cron: &str, zone: &str) -> Recurrence {
    Recurrence::parse(cron, zone).unwrap()
}

fn moment(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The due times after a moment, in the zone's own clocks.
fn due(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let (recurrence, mut at) = (recurrence(cron, zone), moment(after));
    let mut found = Vec::new();
    for _ in 0..count {
        at = recurrence.next_after(at).unwrap();
        found.push(at.with_timezone(&recurrence.zone).format("%d %H:%M %:z").to_string());
    }
    found
}

#[test]
fn a_time_that_the_clocks_skip_runs_at_the_first_moment_after() {
    // 2 -> 3 on 29 March.
    let berlin = due("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3);
    assert_eq!(berlin, ["28 02:30 +01:00", "29 03:00 +02:00", "30 02:30 +02:00"]);
    // 2 -> 3 on 8 March.
    let new_york = due("30 2 * * *", "America/New_York", "2026-03-07T05:00:00Z", 3);
    assert_eq!(new_york, ["07 02:30 -05:00", "08 03:00 -04:00", "09 02:30 -04:00"]);
    // 2 -> 2:30 on 4 October.
    let lord_howe = due("15 2 * * *", "Australia/Lord_Howe", "2026-10-02T14:00:00Z", 3);
    assert_eq!(lord_howe, ["03 02:15 +10:30", "04 02:30 +11:00", "05 02:15 +11:00"]);
    // 0 -> 1 on 26 April in Egypt; the whole of 30 December 2011 in Samoa.
    let cairo = due("@daily", "Africa/Cairo", "2024-04-25T00:00:00Z", 2);
    assert_eq!(cairo, ["26 01:00 +03:00", "27 00:00 +03:00"]);
    let apia = due("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", 3);
    assert_eq!(apia, ["29 12:00 -10:00", "31 00:00 +14:00", "31 12:00 +14:00"]);
}

#[test]
fn a_time_that_the_clocks_show_twice_runs_the_first_time() {
    // 3 -> 2 on 25 October.
    let berlin = due("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
    assert_eq!(berlin, ["25 02:30 +02:00", "26 02:30 +01:00"]);
    // 2 -> 1 on 1 November.
    let new_york = due("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2);
    assert_eq!(new_york, ["01 01:30 -04:00", "02 01:30 -05:00"]);
    // 2 -> 1:30 on 5 April.
    let lord_howe = due("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", 2);
    assert_eq!(lord_howe, ["05 01:45 +11:00", "06 01:45 +10:30"]);
}

#[test]
fn several_times_of_one_gap_run_as_one() {
    let times = due("*/15 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 5);
    let after =
        ["29 03:00 +02:00", "29 03:15 +02:00", "29 03:30 +02:00", "29 03:45 +02:00", "30 02:00 +02:00"];
    assert_eq!(times, after);
}

#[test]
fn what_is_due_every_hour_follows_the_hours_as_they_pass() {
    let spring = due("30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 3);
    assert_eq!(spring, ["29 01:30 +01:00", "29 03:30 +02:00", "29 04:30 +02:00"]);
    let autumn = due("30 * * * *", "Europe/Berlin", "2026-10-24T23:00:00Z", 4);
    assert_eq!(autumn, ["25 01:30 +02:00", "25 02:30 +02:00", "25 02:30 +01:00", "25 03:30 +01:00"]);
    let lord_howe = due("*/20 * * * *", "Australia/Lord_Howe", "2026-04-04T14:15:00Z", 5);
    let expected =
        ["05 01:20 +11:00", "05 01:40 +11:00", "05 01:40 +10:30", "05 02:00 +10:30", "05 02:20 +10:30"];
    assert_eq!(lord_howe, expected);
}

#[test]
fn what_is_due_every_second_has_no_hole_in_any_change() {
    for (zone, change) in [
        ("Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-10-25T01:00:00Z"),
        ("America/New_York", "2026-11-01T06:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ] {
        let every_second = recurrence("* * * * * *", zone);
        for around in [-7200, -3601, -3600, -1, 0, 1, 1799, 3599, 3600] {
            let at = moment(change) + TimeDelta::seconds(around);
            assert_eq!(every_second.next_after(at), Some(at + TimeDelta::seconds(1)), "{zone} {around}");
        }
    }
}

#[test]
fn a_part_of_a_second_is_no_whole_one() {
    let at = moment("2026-01-01T00:00:00.5Z");
    assert_eq!(recurrence("* * * * * *", "UTC").next_after(at), Some(moment("2026-01-01T00:00:01Z")));
}

#[test]
fn after_the_last_year_there_is_none() {
    assert_eq!(recurrence("@yearly", "UTC").next_after(moment("2100-01-01T00:00:00Z")), None);
}

#[test]
fn unknown_zones_and_bad_expressions_are_named_together() {
    let fields = |cron, zone| {
        let errors = Recurrence::parse(cron, zone).unwrap_err();
        errors.into_iter().map(|error| error.field).collect::<Vec<_>>()
    };
    assert_eq!(fields("x", "Mars/Olympus"), ["cron", "timeZone"]);
    assert_eq!(fields("@daily", "europe/berlin"), ["timeZone"]);
    assert_eq!(fields("x", "UTC"), ["cron"]);
}

/// Zones that change their clocks by an hour, by half an hour, at midnight, not at all.
const ZONES: [&str; 7] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/Havana",
    "Asia/Kathmandu",
    "UTC",
];
const EXPRESSIONS: [&str; 9] = [
    "30 2 * * *",
    "0 0 * * *",
    "*/7 0-3 * * *",
    "15,45 */2 * * SUN",
    "10 1 1 * MON",
    "*/13 * * * *",
    "5 * * * SAT,SUN",
    "@hourly",
    "@weekly",
];

/// The due times of a day by the rules' own words: every minute of the day is looked at.
fn by_the_rules(recurrence: &Recurrence, day: NaiveDate) -> Vec<DateTime<Utc>> {
    let matches =
        |time: NaiveDateTime| recurrence.expression.next_after(time - TimeDelta::seconds(1)) == Some(time);
    let minutes = (0..24 * 60).map(|minute| NaiveDateTime::from(day) + TimeDelta::minutes(minute));
    let mut due: Vec<_> = minutes
        .filter(|time| matches(*time))
        .flat_map(|time| match recurrence.zone.from_local_datetime(&time) {
            chrono::LocalResult::Single(at) => vec![at],
            chrono::LocalResult::Ambiguous(first, last) if recurrence.expression.is_every_hour() => {
                vec![first, last]
            }
            chrono::LocalResult::Ambiguous(first, _) => vec![first],
            chrono::LocalResult::None if recurrence.expression.is_every_hour() => vec![],
            chrono::LocalResult::None => {
                let mut after = time;
                loop {
                    after += TimeDelta::minutes(1);
                    if let Some(at) = recurrence.zone.from_local_datetime(&after).single() {
                        break vec![at];
                    }
                }
            }
        })
        .map(|at| at.to_utc())
        .collect();
    due.sort_unstable();
    due.dedup();
    due
}

/// The days on which a zone's clocks change in a year, or any one day.
fn changes(zone: Tz, year: i32) -> Vec<NaiveDate> {
    let midnight = |day: NaiveDate| zone.offset_from_utc_datetime(&day.into());
    let days: Vec<_> = NaiveDate::from_ymd_opt(year, 1, 1).unwrap().iter_days().take(365).collect();
    let changed = days.windows(2).filter(|pair| midnight(pair[0]) != midnight(pair[1])).map(|pair| pair[0]);
    let changed: Vec<_> = changed.collect();
    if changed.is_empty() { vec![days[100]] } else { changed }
}

#[test]
fn around_every_change_of_the_clocks_the_due_times_are_those_of_the_rules() {
    for (zone, cron) in ZONES.iter().flat_map(|zone| EXPRESSIONS.map(|cron| (*zone, cron))) {
        let recurrence = recurrence(cron, zone);
        for change in changes(recurrence.zone, 2026) {
            let days: Vec<_> = (change - TimeDelta::days(1)).iter_days().take(4).collect();
            let expected: Vec<_> = days.iter().flat_map(|day| by_the_rules(&recurrence, *day)).collect();
            let start = recurrence.at_or_after(days[0].into()).unwrap() - TimeDelta::seconds(1);
            let end = recurrence.at_or_after((days[3] + TimeDelta::days(1)).into()).unwrap();
            let next = |at: &DateTime<Utc>| recurrence.next_after(*at);
            let found: Vec<_> =
                std::iter::successors(next(&start), next).take_while(|at| *at < end).collect();
            assert_eq!(found, expected, "{cron} in {zone} around {change}");
        }
    }
}

#[test]
fn a_daily_schedule_runs_once_on_each_of_ten_thousand_days() {
    for zone in ZONES {
        for cron in ["0 0 * * *", "30 1 * * *", "15 2 * * *", "45 2 * * *", "59 23 * * *"] {
            let recurrence = recurrence(cron, zone);
            let mut at = recurrence.next_after(moment("2010-01-01T12:00:00Z")).unwrap();
            let day = |at: DateTime<Utc>| at.with_timezone(&recurrence.zone).date_naive();
            for _ in 0..10_000 {
                let next = recurrence.next_after(at).unwrap();
                assert_eq!(day(next), day(at).succ_opt().unwrap(), "{cron} in {zone} after {at}");
                at = next;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whoever asks at whatever moment gets the same due times, in the same order.
    #[test]
    fn due_times_rise_and_do_not_depend_on_when_one_asks(
        zone in 0..ZONES.len(),
        cron in 0..EXPRESSIONS.len(),
        seconds in 1_700_000_000_i64..1_860_000_000,
        within in 0.0..1.0_f64,
    ) {
        let recurrence = recurrence(EXPRESSIONS[cron], ZONES[zone]);
        let at = DateTime::from_timestamp(seconds, 0).unwrap();
        let next = recurrence.next_after(at).unwrap();
        prop_assert!(next > at);
        let between = at + TimeDelta::milliseconds(((next - at).num_milliseconds() as f64 * within) as i64);
        prop_assume!(between < next);
        prop_assert_eq!(recurrence.next_after(between), Some(next));
        prop_assert!(recurrence.next_after(next).unwrap() > next);
    }
}
