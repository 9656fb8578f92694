//! The ledger: one line on the disk for each answer that the load got, before anything follows from it.
//!
//! What it says was accepted must be there at the end, whatever broke in between.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use chrono::{DateTime, Utc};
use makima_shared::domain::TaskId;
use serde::Serialize;

use crate::load::Kind;

/// One line.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    /// When the answer came.
    pub(crate) at: DateTime<Utc>,
    /// What it answers.
    #[serde(flatten)]
    pub(crate) fact: Fact,
}

/// What the client knows from now on.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "what", rename_all = "camelCase")]
pub(crate) enum Fact {
    /// A submission was answered.
    Submitted { owner: usize, key: String, status: u16, task: Option<TaskId>, code: Option<String> },
    /// A submission is given up: no answer came that decides it.
    Unanswered { owner: usize, key: String },
    /// A task was accepted.
    Task { task: TaskId, key: String, asked: AskedTask },
    /// The word to stop a task is sent; whether it counts is not known yet.
    StopSent { task: TaskId },
    /// A stop was answered.
    Stopped { task: TaskId, status: u16 },
    /// What still ran of a task, 15 s after its stop was confirmed.
    StillRuns { task: TaskId, processes: Vec<String> },
}

/// What a task was asked to be.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AskedTask {
    pub(crate) owner: usize,
    pub(crate) kind: Kind,
    /// How many lines its agent writes, if it is of the kind that does.
    pub(crate) lines: u32,
    /// Whether its result is to be pushed.
    pub(crate) is_pushed: bool,
    pub(crate) parents: Vec<TaskId>,
}

/// The ledger of one run. Clones write to the same one.
#[derive(Clone)]
pub(crate) struct Ledger {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    file: File,
    entries: Vec<Entry>,
}

impl Ledger {
    /// Begins a ledger in `directory`.
    pub(crate) fn create(directory: &Path) -> anyhow::Result<Self> {
        let file = File::create_new(directory.join("ledger.jsonl")).context("cannot begin the ledger")?;
        Ok(Self { inner: Arc::new(Mutex::new(Inner { file, entries: Vec::new() })) })
    }

    /// Writes a line, and returns once it is on the disk.
    pub(crate) async fn write(&self, fact: Fact) -> anyhow::Result<()> {
        let inner = Arc::clone(&self.inner);
        let write = move || {
            let entry = Entry { at: Utc::now(), fact };
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            let mut line = serde_json::to_vec(&entry)?;
            line.push(b'\n');
            inner.file.write_all(&line)?;
            inner.file.sync_data()?;
            inner.entries.push(entry);
            anyhow::Ok(())
        };
        tokio::task::spawn_blocking(write).await?.context("cannot write the ledger")
    }

    /// Returns all lines so far.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).entries.clone()
    }
}
