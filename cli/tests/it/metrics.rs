use std::collections::{BTreeMap, BTreeSet};

use makima_shared::telemetry::names::{self, ALL};
use serde_json::{Value, json};

use super::stack::{Stack, lines_until};

/// What this stack does not show: these count, by what went wrong or came of it, what does not happen here.
const NOT_HERE: [&str; 4] =
    [names::STORE_ERRORS, names::RECONCILE_ERRORS, names::LEASE_EXPIRIES, names::SCHEDULE_RUNS];

/// What the roles show, by role.
async fn scrape(stack: &Stack) -> BTreeMap<String, String> {
    let file = std::fs::read(stack.data_dir().join("metrics.json")).unwrap();
    let targets: Value = serde_json::from_slice(&file).unwrap();
    let mut shown = BTreeMap::new();
    for group in targets.as_array().unwrap() {
        let url = format!("http://{}/metrics", group["targets"][0].as_str().unwrap());
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        shown.insert(group["labels"]["role"].as_str().unwrap().to_owned(), text);
    }
    shown
}

/// Finds the value of a sample, given with its labels.
fn value(text: &str, sample: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_shows_the_metrics_of_the_table_and_no_others() {
    let stack = Stack::start(2, 1).await;
    let gate = stack.shared("gate");
    let mut running = Vec::new();
    for name in ["one", "two"] {
        running.push(stack.submit(&stack.script(name, &lines_until(&gate))).await);
    }
    for id in &running {
        stack.wait_for(id, "output", |event| event["data"]["text"] == "line 1").await;
    }
    let mut waiting = stack.script("waits", "true");
    waiting["priority"] = json!(77);
    let waiting = stack.submit(&waiting).await;

    // The leader measures every few seconds; the lines of an agent tell the time.
    let mut line = 1;
    let shown = loop {
        let shown = scrape(&stack).await;
        if value(&shown["scheduler"], "makima_queue_depth{priority=\"77\"}") == Some(1.0) {
            break shown;
        }
        line += 10;
        let text = format!("line {line}");
        stack.wait_for(&running[0], "output", |event| event["data"]["text"] == text.as_str()).await;
    };
    assert_eq!(shown.keys().collect::<Vec<_>>(), ["api", "scheduler", "worker-1", "worker-2"]);
    let scheduler = &shown["scheduler"];
    for (sample, expected) in [
        ("makima_leader", 1.0),
        ("makima_tasks{status=\"queued\"}", 1.0),
        ("makima_tasks{status=\"running\"}", 2.0),
        ("makima_workers_alive", 2.0),
        ("makima_slots", 2.0),
        ("makima_slots_busy", 2.0),
    ] {
        assert_eq!(value(scheduler, sample), Some(expected), "{sample}:\n{scheduler}");
    }
    for worker in ["worker-1", "worker-2"] {
        assert_eq!(value(&shown[worker], "makima_claims_total"), Some(1.0), "{}", shown[worker]);
        assert_eq!(value(&shown[worker], "makima_prepare_seconds_count"), Some(1.0));
    }

    std::fs::write(&gate, "").unwrap();
    for id in running.iter().chain([&waiting]) {
        stack.wait_for_end(id).await;
    }
    // A task's end is told a moment before its worker counts it.
    let mut shown = scrape(&stack).await;
    while completed(&shown) < 3.0 {
        shown = scrape(&stack).await;
    }
    let found: BTreeSet<(&str, &str)> = shown.values().flat_map(|text| types(text)).collect();
    for metric in ALL.iter().filter(|metric| !NOT_HERE.contains(&metric.name)) {
        assert!(found.contains(&(metric.name, metric.kind.as_str())), "{} is shown nowhere", metric.name);
    }
    shown.values().for_each(|text| labels_are_those_of_the_table(text));
}

/// How many attempts the workers say to have ended well.
fn completed(shown: &BTreeMap<String, String>) -> f64 {
    let sample = "makima_attempt_seconds_count{outcome=\"completed\"}";
    shown.values().filter_map(|text| value(text, sample)).sum()
}

/// Names and types of what is shown.
fn types(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
}

fn labels_are_those_of_the_table(text: &str) {
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name = line.split(['{', ' ']).next().unwrap();
        let suffixes = ["", "_bucket", "_sum", "_count"].map(|suffix| name.strip_suffix(suffix));
        let metric = ALL.iter().find(|metric| suffixes.contains(&Some(metric.name)));
        let metric = metric.unwrap_or_else(|| panic!("{line} is in no table"));
        let labels = line.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
        let labels: BTreeSet<_> = labels
            .split(',')
            .filter_map(|label| label.split_once('=').map(|(label, _)| label))
            .filter(|label| *label != "le")
            .collect();
        assert_eq!(labels, metric.labels.iter().copied().collect(), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_for_metrics_that_is_taken_ends_the_role_with_its_name() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_makima"))
        .args(["scheduler", "--metrics-listen", &address])
        .args(["--database-url", "postgres://nobody@localhost/none?host=/nonexistent"])
        .args(["--redis-url", "redis+unix:///nonexistent/redis.sock"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("metrics.listen: cannot show metrics on {address}")), "{said}");
}
