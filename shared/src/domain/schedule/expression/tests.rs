use chrono::NaiveDate;

use super::*;

/// The first times after the beginning of 2026, a Thursday.
fn times(text: &str, count: usize) -> Vec<String> {
    let expression = Expression::parse(text).unwrap_or_else(|problem| panic!("{text} {problem}"));
    let mut time = NaiveDate::from_ymd_opt(2025, 12, 31).unwrap().and_hms_opt(23, 59, 59).unwrap();
    let mut found = Vec::new();
    for _ in 0..count {
        time = expression.next_after(time).unwrap();
        found.push(time.format("%m-%d %H:%M:%S").to_string());
    }
    found
}

#[test]
fn five_fields_begin_with_minutes_and_six_with_seconds() {
    assert_eq!(times("30 2 * * *", 2), ["01-01 02:30:00", "01-02 02:30:00"]);
    assert_eq!(times("15 30 2 * * *", 2), ["01-01 02:30:15", "01-02 02:30:15"]);
    assert_eq!(times("  */20   * * *  * ", 4)[1..], ["01-01 00:20:00", "01-01 00:40:00", "01-01 01:00:00"]);
}

#[test]
fn weekdays_count_from_sunday_at_either_end_and_have_names() {
    for sunday in ["0", "7", "SUN", "sun"] {
        assert_eq!(times(&format!("0 0 * * {sunday}"), 1), ["01-04 00:00:00"], "{sunday}");
    }
    for working_days in ["1-5", "MON-FRI", "1,2,3,4,5", "mon,2-4,Fri", "1-5/1"] {
        let days = times(&format!("0 0 * * {working_days}"), 3);
        assert_eq!(days, ["01-01 00:00:00", "01-02 00:00:00", "01-05 00:00:00"], "{working_days}");
    }
    for to_sunday in ["6-7", "SAT-SUN", "6-0", "sat,0"] {
        let days = times(&format!("0 0 * * {to_sunday}"), 3);
        assert_eq!(days, ["01-03 00:00:00", "01-04 00:00:00", "01-10 00:00:00"], "{to_sunday}");
    }
    assert_eq!(times("0 0 * * */3", 3), ["01-03 00:00:00", "01-04 00:00:00", "01-07 00:00:00"]);
    assert_eq!(times("0 0 * * 0-0", 2), ["01-04 00:00:00", "01-11 00:00:00"]);
}

#[test]
fn of_two_restricted_days_either_will_do() {
    let either = times("0 0 13 * FRI", 4);
    assert_eq!(either, ["01-02 00:00:00", "01-09 00:00:00", "01-13 00:00:00", "01-16 00:00:00"]);
    // A star is no restriction, a step of it included, as in Vixie's cron: both must match then.
    assert_eq!(times("0 0 */2 * FRI", 2), ["01-09 00:00:00", "01-23 00:00:00"]);
    assert_eq!(times("0 0 ? * FRI", 2), ["01-02 00:00:00", "01-09 00:00:00"]);
}

#[test]
fn words_stand_for_whole_expressions() {
    let cases = [
        ("@hourly", "01-01 01:00:00"),
        ("@daily", "01-02 00:00:00"),
        ("@midnight", "01-02 00:00:00"),
        ("@weekly", "01-11 00:00:00"),
        ("@monthly", "02-01 00:00:00"),
        ("@yearly", "01-01 00:00:00"),
        ("@annually", "01-01 00:00:00"),
    ];
    for (word, second) in cases {
        assert_eq!(times(word, 2)[1], second, "{word}");
    }
}

#[test]
fn a_leap_day_is_waited_for() {
    let expression = Expression::parse("0 12 29 2 *").unwrap();
    let next = expression.next_after(NaiveDate::from_ymd_opt(2026, 1, 1).unwrap().into()).unwrap();
    assert_eq!(next.to_string(), "2028-02-29 12:00:00");
}

#[test]
fn what_cannot_be_taken_is_named() {
    let cases = [
        ("", "must have five fields"),
        ("* * * *", "must have five fields"),
        ("* * * * * * 2026", "must have five fields"),
        ("@reboot", "must have five fields"),
        ("60 * * * *", "cannot take '60' for the minutes"),
        ("*/0 * * * *", "cannot take '*/0' for the minutes"),
        ("0 24 * * *", "cannot take '24' for the hours"),
        ("0 2-1 * * *", "cannot take '2-1' for the hours"),
        ("0 0 0 * *", "cannot take '0' for the days of the month"),
        ("0 0 L * *", "cannot take 'L' for the days of the month"),
        ("0 0 1 13 *", "cannot take '13' for the months"),
        ("0 0 * * 8", "cannot take '8' for the days of the week"),
        ("0 0 * * FRI-MON", "cannot take 'FRI-MON' for the days of the week"),
        ("0 0 * * MON#1", "cannot take 'MON#1' for the days of the week"),
        ("0 0 * * */0", "cannot take '*/0' for the days of the week"),
        ("x * * * * *", "cannot take 'x' for the seconds"),
        ("99999999999 * * * *", "cannot take '99999999999' for the minutes"),
        ("0 0 30 2 *", "names a date that never comes"),
        ("0 0 * * \u{661}", "must be one line of up to 200 ASCII characters"),
        ("0 0\n* * *", "must be one line of up to 200 ASCII characters"),
    ];
    for (text, start) in cases {
        let problem = Expression::parse(text).unwrap_err();
        assert!(problem.starts_with(start), "{text}: {problem}");
    }
    let long = format!("{} * * * *", "1,".repeat(100));
    assert!(Expression::parse(&long).unwrap_err().starts_with("must be one line"));
}
