//! Checkpoints and their patches.

use std::io::{Read, Write};
use std::time::Duration;

use axum::body::Body;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use makima_shared::domain::{CheckpointTrigger, NewCheckpoint, TaskId};
use makima_shared::store::Fenced;
use sqlx::PgPool;

use crate::stage::{Stage, TASKS, submission};

fn checkpoint(patch: &str) -> NewCheckpoint {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(patch.as_bytes()).unwrap();
    NewCheckpoint {
        trigger: CheckpointTrigger::Interval,
        message: None,
        base_commit: "a".repeat(40),
        tree_id: "b".repeat(40),
        files_changed: 1,
        lines_added: 2,
        lines_removed: 3,
        patch_gzip: encoder.finish().unwrap(),
        unpacked_bytes: i64::try_from(patch.len()).unwrap(),
        sha256: [7; 32],
        commits: None,
        duration_ms: 4,
    }
}

async fn task_with_checkpoints(stage: &Stage, patches: &[&str]) -> TaskId {
    let task = stage.submit(&submission("a")).await;
    let worker = stage.worker("w").await;
    let epoch = stage.start(worker, task).await;
    for patch in patches {
        let keep = Duration::from_secs(3600);
        let written = stage.store.checkpoint_create(task, epoch, &checkpoint(patch), keep).await.unwrap();
        assert!(matches!(written, Fenced::Accepted(_)));
    }
    task
}

#[sqlx::test(migrations = "../migrations")]
async fn checkpoints_are_listed_newest_first(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = task_with_checkpoints(&stage, &["one", "two"]).await;
    let list = stage.get(&format!("{TASKS}/{task}/checkpoints")).await.json();
    let numbers: Vec<_> =
        list["checkpoints"].as_array().unwrap().iter().map(|entry| &entry["number"]).collect();
    assert_eq!(numbers, [2, 1]);
    assert_eq!(list["checkpoints"][0]["trigger"], "interval");
    assert_eq!(stage.get(&format!("{TASKS}/{task}")).await.json()["lastCheckpoint"]["number"], 2);
}

#[sqlx::test(migrations = "../migrations")]
async fn a_patch_comes_as_text_or_as_it_is_stored(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let long = "a line of a patch\n".repeat(100_000);
    let task = task_with_checkpoints(&stage, &[&long, ""]).await;
    let path = format!("{TASKS}/{task}/checkpoints/1/patch");
    let text = stage.get(&path).await;
    assert_eq!((text.headers["content-type"].to_str().unwrap(), text.text()), ("text/plain", long.as_str()));
    assert_eq!(stage.get(&format!("{TASKS}/{task}/checkpoints/2/patch")).await.text(), "");

    let accepting = stage.request("GET", &path).header("accept", "application/gzip, text/plain;q=0.5");
    let accepted = stage.send(accepting.body(Body::empty()).unwrap()).await;
    for packed in [accepted, stage.get(&format!("{path}?format=gzip")).await] {
        assert_eq!(packed.headers["content-type"], "application/gzip");
        let mut unpacked = String::new();
        GzDecoder::new(packed.body.as_ref()).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, long);
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn text_comes_compressed_to_a_client_that_can_unpack_it(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = task_with_checkpoints(&stage, &["a patch"]).await;
    let path = format!("{TASKS}/{task}/checkpoints/1/patch");
    let get = async |encodings: &str| {
        let request = stage.request("GET", &path).header("accept-encoding", encodings);
        stage.send(request.body(Body::empty()).unwrap()).await
    };
    for encodings in ["gzip", "br, GZIP;q=0.5"] {
        let answer = get(encodings).await;
        assert_eq!(
            (&answer.headers["content-type"], &answer.headers["content-encoding"]),
            (&"text/plain".parse().unwrap(), &"gzip".parse().unwrap())
        );
        let mut unpacked = String::new();
        GzDecoder::new(answer.body.as_ref()).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, "a patch");
    }
    for encodings in ["identity", "gzip;q=0", "br"] {
        let answer = get(encodings).await;
        assert!(!answer.headers.contains_key("content-encoding"));
        assert_eq!(answer.text(), "a patch", "{encodings}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_missing_checkpoint_is_told_from_a_missing_task(pool: PgPool) {
    let stage = Stage::new(pool).await;
    let task = task_with_checkpoints(&stage, &["one"]).await;
    let answer = stage.get(&format!("{TASKS}/{task}/checkpoints/2/patch")).await;
    assert_eq!(answer.error(), (404, "CHECKPOINT_NOT_FOUND".to_owned()));
    let answer = stage.get(&format!("{TASKS}/{}/checkpoints/1/patch", TaskId::new())).await;
    assert_eq!(answer.error(), (404, "TASK_NOT_FOUND".to_owned()));
}
