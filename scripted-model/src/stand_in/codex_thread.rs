//! A thread of Codex, and the file that it is kept in.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

/// How deep below `sessions` a thread's file lies: year, month, day.
const DEPTH: usize = 3;

pub(crate) struct Thread {
    pub(crate) id: String,
    pub(crate) items: Vec<Value>,
    /// Tokens read and written, of all runs.
    pub(crate) used: (u64, u64),
    file: File,
}

impl Thread {
    pub(crate) fn begin(home: &Path) -> anyhow::Result<Self> {
        let id = uuid::Uuid::now_v7().to_string();
        // The real one names the day.
        let directory = home.join("sessions/2026/01/02");
        std::fs::create_dir_all(&directory)?;
        let file = File::create_new(directory.join(format!("rollout-2026-01-02T03-04-05-{id}.jsonl")))?;
        let mut thread = Self { id, items: Vec::new(), used: (0, 0), file };
        thread.write("session_meta", &json!({"id": thread.id, "cwd": std::env::current_dir()?}))?;
        Ok(thread)
    }

    pub(crate) fn resume(home: &Path, id: &str) -> anyhow::Result<Self> {
        let missing = || format!("thread/resume failed: no rollout found for thread id {id}");
        let path = find(&home.join("sessions"), &format!("-{id}.jsonl"), DEPTH).with_context(missing)?;
        let text = std::fs::read_to_string(&path)?;
        let file = File::options().append(true).open(path)?;
        let mut thread = Self { id: id.to_owned(), items: Vec::new(), used: (0, 0), file };
        for line in text.lines() {
            let mut line: Value = serde_json::from_str(line)?;
            let usage = line["payload"]["info"]["total_token_usage"].take();
            if line["type"] == "response_item" {
                thread.items.push(line["payload"].take());
            } else if let (Some(input), Some(output)) =
                (usage["input_tokens"].as_u64(), usage["output_tokens"].as_u64())
            {
                thread.used = (input, output);
            }
        }
        if let Some(call) = thread.items.last().filter(|item| item["type"] == "function_call") {
            let aborted =
                json!({"type": "function_call_output", "call_id": call["call_id"], "output": "aborted"});
            thread.items.push(aborted);
        }
        Ok(thread)
    }

    /// Adds an item of the conversation.
    pub(crate) fn keep(&mut self, item: Value) -> anyhow::Result<()> {
        self.write("response_item", &item)?;
        self.items.push(item);
        Ok(())
    }

    pub(crate) fn add_usage(&mut self, usage: &Value) -> anyhow::Result<()> {
        self.used.0 += usage["input_tokens"].as_u64().unwrap_or_default();
        self.used.1 += usage["output_tokens"].as_u64().unwrap_or_default();
        let total = json!({"input_tokens": self.used.0, "output_tokens": self.used.1});
        self.write("event_msg", &json!({"type": "token_count", "info": {"total_token_usage": total}}))
    }

    fn write(&mut self, kind: &str, payload: &Value) -> anyhow::Result<()> {
        let line = json!({"timestamp": "2026-01-02T03:04:05.000Z", "type": kind, "payload": payload});
        self.file.write_all(format!("{line}\n").as_bytes())?;
        Ok(())
    }
}

fn find(directory: &Path, ending: &str, depth: usize) -> Option<PathBuf> {
    let mut paths = std::fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    if depth == 0 {
        return paths.find(|path| path.to_string_lossy().ends_with(ending));
    }
    paths.find_map(|path| find(&path, ending, depth - 1))
}
