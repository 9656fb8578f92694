//! Server-sent events: replay, then follow, without a gap and without a repeat, to the end.

use std::collections::VecDeque;

use axum::body::{Body, BodyDataStream};
use futures_util::{StreamExt, future};
use makima_shared::domain::{TaskId, Transition};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::stage::{Stage, TASKS, submission};

/// One message of a stream.
#[derive(Debug)]
struct Message {
    id: Option<i64>,
    event: String,
    data: Value,
}

/// An open stream.
struct Reader {
    body: BodyDataStream,
    text: String,
    messages: VecDeque<Message>,
}

impl Reader {
    async fn open(stage: &Stage, task: TaskId, query: &str, last_id: Option<i64>) -> Self {
        let mut request = stage.request("GET", &format!("{TASKS}/{task}/stream{query}"));
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = stage.open(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new(), messages: VecDeque::new() }
    }

    /// Waits for the next message; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.messages.pop_front() {
                return Some(message);
            }
            self.text.push_str(std::str::from_utf8(&self.body.next().await?.unwrap()).unwrap());
            while let Some((frame, rest)) = self.text.split_once("\n\n") {
                self.messages.extend(message(frame));
                self.text = rest.to_owned();
            }
        }
    }

    async fn rest(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await {
            messages.push(message);
        }
        messages
    }
}

fn message(frame: &str) -> Option<Message> {
    let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    Some(Message {
        id: field("id").map(|id| id.parse().unwrap()),
        event: field("event")?.to_owned(),
        data: serde_json::from_str(field("data")?).unwrap(),
    })
}

/// Asserts that the messages are the events behind `after` and the end.
fn assert_whole(messages: &[Message], after: i64, status: &str) {
    let (last, events) = messages.split_last().expect("a stream has an end");
    for (message, expected) in events.iter().zip(after + 1..) {
        assert_eq!(message.id, Some(expected));
        assert_eq!(message.data["sequence"], expected);
        assert_eq!(message.data["kind"], message.event);
    }
    assert_eq!((last.id, last.event.as_str(), &last.data), (None, "end", &json!({"status": status})));
}

/// Runs a task from its claim to its end, with output in pieces of many sizes, as a worker does.
async fn run_task(stage: &Stage, task: TaskId) {
    let worker = stage.worker("w").await;
    let epoch = stage.start(worker, task).await;
    for size in [1, 2, 700, 3, 1200, 1] {
        let lines: Vec<_> = (0..size).map(|number| format!("line {number}")).collect();
        stage.write(task, epoch, &lines).await;
    }
    stage.complete(task, epoch).await;
}

/// What [`run_task`] and the submission write: three moves before the end, the lines, the end.
const EVENTS: usize = 3 + 1907 + 1;

#[sqlx::test(migrations = "../migrations")]
async fn followers_see_every_event_once_while_a_worker_writes(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = stage.submit(&submission("a")).await;
    let mut early = Reader::open(&stage, task, "", None).await;
    let first = early.next().await.unwrap();
    assert_eq!((first.id, first.data["data"]["transition"].as_str()), (Some(1), Some("submitted")));
    let mut followers = Vec::new();
    for _ in 0..3 {
        followers.push(Reader::open(&stage, task, "", None).await);
    }
    let (messages, all, ()) = tokio::join!(
        early.rest(),
        future::join_all(followers.iter_mut().map(Reader::rest)),
        run_task(&stage, task),
    );
    assert_whole(&messages, 1, "done");
    for messages in all {
        assert_eq!(messages.len(), EVENTS + 1);
        assert_whole(&messages, 0, "done");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_broken_stream_goes_on_behind_the_last_event_id(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = stage.submit(&submission("a")).await;
    let mut broken = Reader::open(&stage, task, "", None).await;
    assert_eq!(broken.next().await.unwrap().id, Some(1));
    drop(broken);
    run_task(&stage, task).await;
    for (query, last_id, after) in
        [("", Some(1), 1), ("?after=900", None, 900), ("?after=5", Some(1000), 1000)]
    {
        let messages = Reader::open(&stage, task, query, last_id).await.rest().await;
        assert_whole(&messages, after, "done");
        assert_eq!(messages.len(), EVENTS - usize::try_from(after).unwrap() + 1);
    }
    let nothing = Reader::open(&stage, task, "", Some(100_000)).await.rest().await;
    assert_eq!(nothing.len(), 1);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_stop_ends_the_stream(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = stage.submit(&submission("a")).await;
    let mut reader = Reader::open(&stage, task, "", None).await;
    reader.next().await.unwrap();
    stage.post(&format!("{TASKS}/{task}/stop"), &json!({})).await;
    assert_whole(&reader.rest().await, 1, "cancelled");
}

/// What it may spend is spent: it may stand so for ever, and go on after all.
#[sqlx::test(migrations = "../migrations")]
async fn who_asks_for_it_is_told_that_the_task_waits_for_a_person(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = stage.submit(&submission("a")).await;
    let mut to_the_end = Reader::open(&stage, task, "", None).await;
    let mut until_held = Reader::open(&stage, task, "?untilHeld=true", None).await;
    let worker = stage.worker("w").await;
    let epoch = stage.start(worker, task).await;
    stage.transition(task, &Transition::over_budget(epoch, "all is spent")).await;
    assert_whole(&until_held.rest().await, 0, "interrupted");

    stage.post(&format!("{TASKS}/{task}/start"), &json!({})).await;
    let mut again = Reader::open(&stage, task, "?untilHeld=true", None).await;
    stage.post(&format!("{TASKS}/{task}/stop"), &json!({})).await;
    assert_whole(&again.rest().await, 0, "cancelled");
    assert_whole(&to_the_end.rest().await, 0, "cancelled");
}

#[sqlx::test(migrations = "../migrations")]
async fn a_stream_is_whole_without_redis(pool: PgPool) {
    let stage = Stage::without_redis(pool).await;
    let task = stage.submit(&submission("a")).await;
    let mut reader = Reader::open(&stage, task, "", None).await;
    reader.next().await.unwrap();
    let worker = stage.worker("w").await;
    let epoch = stage.start(worker, task).await;
    stage.complete(task, epoch).await;
    assert_whole(&reader.rest().await, 1, "done");
}

#[sqlx::test(migrations = "../migrations")]
async fn one_owner_cannot_take_every_stream_and_a_dropped_one_makes_room(pool: PgPool) {
    let mut stage = Stage::new(pool).await;
    let task = stage.submit(&submission("a")).await;
    let mut readers = Vec::new();
    for _ in 0..64 {
        readers.push(Reader::open(&stage, task, "", None).await);
    }
    let refused = stage.get(&format!("{TASKS}/{task}/stream")).await;
    assert_eq!(refused.error(), (503, "TOO_MANY_STREAMS".to_owned()));
    assert_eq!(refused.headers["retry-after"], "1");
    readers.pop();
    readers.push(Reader::open(&stage, task, "", None).await);
    stage.key = stage.strangers_key().await;
    let theirs = stage.submit(&submission("b")).await;
    Reader::open(&stage, theirs, "", None).await;
}

#[sqlx::test(migrations = "../migrations")]
async fn a_last_event_id_that_is_no_number_is_refused(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = stage.submit(&submission("a")).await;
    let request = stage.request("GET", &format!("{TASKS}/{task}/stream")).header("last-event-id", "x");
    let answer = stage.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.fields(), ["Last-Event-ID"]);
}

#[sqlx::test(migrations = "../migrations")]
async fn the_end_of_the_server_ends_open_streams(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = stage.submit(&submission("a")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(makima_api::serve(listener, stage.state.clone()));
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET {TASKS}/{task}/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
        stage.key
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut received = String::new();
    while !received.contains("submitted") {
        let mut piece = [0; 4096];
        let count = client.read(&mut piece).await.unwrap();
        assert!(count > 0, "{received}");
        received.push_str(std::str::from_utf8(&piece[..count]).unwrap());
    }
    stage.shutdown.cancel();
    // The last chunk of a body that ended in order.
    client.read_to_string(&mut received).await.unwrap();
    assert!(received.ends_with("0\r\n\r\n"), "{received}");
    server.await.unwrap().unwrap();
}
