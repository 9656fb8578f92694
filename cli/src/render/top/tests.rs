use makima_shared::domain::{Epoch, FleetSize, RecentEnds, TaskId, TaskStatus};
use uuid::Uuid;

use super::*;

fn at() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn worker(number: u128, name: &str, state: (bool, bool)) -> Worker {
    Worker {
        quarantined_until: None,
        quarantine_reason: None,
        id: WorkerId::from(id(number)),
        name: name.to_owned(),
        host: "box".to_owned(),
        pid: 7,
        version: "0.1.0".to_owned(),
        slots: 4,
        busy_slots: 3,
        labels: Vec::new(),
        registered_at: at() - TimeDelta::hours(2),
        lease_expires_at: at() + TimeDelta::seconds(8),
        alive: state.0,
        draining: state.1,
        claimed_count: 1300,
        done_count: 1234,
    }
}

fn task(number: u128, name: &str, status: TaskStatus) -> RunningTask {
    let id = TaskId::from(id(number));
    RunningTask {
        id,
        short_id: id.short(),
        name: name.to_owned(),
        status,
        epoch: Epoch::from(2),
        worker_id: WorkerId::from(self::id(1)),
        worker_name: "worker-1".to_owned(),
        since: at() - TimeDelta::seconds(123),
        last_event_age_secs: 1.25,
    }
}

fn owner(name: &str, queued: i64) -> OwnerLoad {
    OwnerLoad { name: name.to_owned(), pending: 3, queued, starting: 1, running: 6 }
}

fn overview() -> Overview {
    let queue = |priority, depth, oldest_age_secs| QueueLoad { priority, depth, oldest_age_secs };
    Overview {
        at: at(),
        measured_at: at() - TimeDelta::milliseconds(400),
        queue: vec![queue(100, 4, 0.3), queue(50, 1_200_000, 3723.0)],
        own: owner("default", 1204),
        recent: RecentEnds { looked_at: 1000, done: 930, failed: 4, cancelled: 2 },
        owners: vec![owner("default", 1204), owner("a team with a name that goes on and on", 7)],
        active_owners: Some(5),
        fleet: FleetSize { workers: 2, slots: 8, slots_busy: 6 },
        workers: vec![
            worker(1, "worker-1", (true, false)),
            worker(2, "worker-2", (true, true)),
            worker(3, "\u{1b}[2Jlost\u{202e}", (false, false)),
        ],
        running_tasks: vec![
            task(0x1a2b, "tidy up", TaskStatus::Running),
            task(
                0x3c4d,
                "a name \u{1b}]0;title\u{7}with\n\u{9b}31m\u{202e}tricks, and a long one at that, longer than any column",
                TaskStatus::Starting,
            ),
        ],
    }
}

fn rates() -> Rates {
    let done_of = HashMap::from([(WorkerId::from(id(1)), 8.0), (WorkerId::from(id(2)), 4.1)]);
    Rates { claimed: 12.34, done: 12.1, done_of }
}

fn frame(width: usize, height: Option<usize>) -> String {
    let (overview, rates) = (overview(), rates());
    let view = TopView {
        url: "http://127.0.0.1:7420",
        overview: Some(&overview),
        rates: Some(&rates),
        trouble: None,
        age: TimeDelta::zero(),
    };
    let lines = top_frame(&view, Size { width: Some(width), height });
    assert!(lines.iter().all(|line| measure_text_width(line) <= width), "{lines:#?}");
    assert!(!lines.iter().flat_map(|line| line.chars()).any(makima_shared::domain::is_hidden), "{lines:#?}");
    lines.join("\n")
}

#[test]
fn a_frame_of_80_columns() {
    insta::assert_snapshot!(frame(80, None));
}

#[test]
fn a_frame_of_140_columns() {
    insta::assert_snapshot!(frame(140, None));
}

#[test]
fn a_small_terminal_gets_the_upper_part_and_no_line_that_wraps() {
    for (width, height) in [(1, 1), (20, 5), (79, 12), (40, 24)] {
        assert!(frame(width, Some(height)).lines().count() <= height, "{width} x {height}");
    }
}

#[test]
fn an_api_that_is_away_is_said_to_be_and_the_last_state_stays() {
    let overview = overview();
    let view = TopView {
        url: "http://h",
        overview: Some(&overview),
        rates: None,
        trouble: Some("no answer:\u{1b}[2J connection refused"),
        age: TimeDelta::seconds(12),
    };
    let lines = top_frame(&view, Size::default());
    assert_eq!(lines[3], "this is 12s old: no answer: connection refused");
    let first = TopView { overview: None, ..view };
    assert_eq!(top_frame(&first, Size::default()), ["makima top  http://h", "no answer: connection refused"]);
}

#[test]
fn an_old_measurement_says_so() {
    let overview = Overview { measured_at: at() - TimeDelta::seconds(9), ..overview() };
    let view =
        TopView { url: "u", overview: Some(&overview), rates: None, trouble: None, age: TimeDelta::zero() };
    assert!(top_frame(&view, Size::default())[1].ends_with("measured 9.0s ago"));
}

#[test]
fn thousands_stand_apart() {
    let all = [0, 999, 1000, 1_234_567, -1234].map(grouped);
    assert_eq!(all, ["0", "999", "1,000", "1,234,567", "-1,234"]);
}
