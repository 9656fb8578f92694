//! Codex: one turn of `codex exec --json`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::codex_thread::Thread;
use crate::model::{self, Answer};
use crate::{print, shell};

pub(crate) async fn run(args: &[String]) -> anyhow::Result<ExitCode> {
    if args.iter().any(|arg| arg == "--version") {
        println!("codex-cli 0.169.0");
        return Ok(ExitCode::SUCCESS);
    }
    let home = std::env::var("CODEX_HOME")
        .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.codex")))?;
    let home = PathBuf::from(home);
    let url = format!("{}/responses", base_url(args, &home)?);
    let words = words(args);
    let (thread, prompt) = match words.as_slice() {
        ["exec", "resume", id, prompt] => (Thread::resume(&home, id)?, *prompt),
        ["exec", "resume", id] => (Thread::resume(&home, id)?, "-"),
        ["exec", prompt] => (Thread::begin(&home)?, *prompt),
        ["exec"] => (Thread::begin(&home)?, "-"),
        other => anyhow::bail!("not what the tests need: {other:?}"),
    };
    let prompt = match prompt {
        "-" => std::io::read_to_string(std::io::stdin())?,
        given => given.to_owned(),
    };
    Turn { thread, url, items: 0 }.run(&prompt).await
}

/// Returns what is no option. Those that have a value have it after them.
fn words(args: &[String]) -> Vec<&str> {
    let mut words = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "-c" | "--config" | "-m" | "--model" | "-C" | "--cd" | "--color" => {
                args.next();
            }
            "-" => words.push("-"),
            option if option.starts_with('-') => {}
            word => words.push(word),
        }
    }
    words
}

/// Returns where the model is, from `-c` or the configuration, as far as the tests set it.
fn base_url(args: &[String], home: &std::path::Path) -> anyhow::Result<String> {
    let file = std::fs::read_to_string(home.join("config.toml")).unwrap_or_default();
    let mut settings = args.iter().map(String::as_str).chain(file.lines());
    let url = settings.find_map(|setting| setting.split_once("base_url")?.1.split('"').nth(1));
    Ok(url.context("no base_url is configured")?.to_owned())
}

struct Turn {
    thread: Thread,
    url: String,
    /// Items printed so far.
    items: usize,
}

impl Turn {
    async fn run(mut self, prompt: &str) -> anyhow::Result<ExitCode> {
        print(&json!({"type": "thread.started", "thread_id": self.thread.id}))?;
        let warning = "Model metadata for `scripted` not found. Defaulting to fallback metadata; this can degrade \
            performance and cause issues.";
        self.print_item("item.completed", json!({"type": "error", "message": warning}))?;
        self.items += 1;
        print(&json!({"type": "turn.started"}))?;
        let content = json!([{"type": "input_text", "text": prompt}]);
        self.thread.keep(json!({"type": "message", "role": "user", "content": content}))?;
        loop {
            let item = match self.ask().await? {
                Ok(item) => item,
                Err(message) => {
                    print(&json!({"type": "error", "message": message}))?;
                    print(&json!({"type": "turn.failed", "error": {"message": message}}))?;
                    return Ok(ExitCode::FAILURE);
                }
            };
            self.thread.keep(item.clone())?;
            if item["type"] == "message" {
                self.print_item(
                    "item.completed",
                    json!({"type": "agent_message", "text": item["content"][0]["text"]}),
                )?;
                break;
            }
            self.run_command(&item).await?;
        }
        let (input, output) = self.thread.used;
        print(&json!({"type": "turn.completed", "usage": {"input_tokens": input, "cached_input_tokens": 0,
            "output_tokens": output, "reasoning_output_tokens": 0}}))?;
        Ok(ExitCode::SUCCESS)
    }

    async fn run_command(&mut self, call: &Value) -> anyhow::Result<()> {
        let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap_or_default())?;
        let command = arguments["cmd"].as_str().context("only exec_command is known")?;
        let mut item = json!({"type": "command_execution", "command": format!("/bin/bash -lc '{command}'"),
            "aggregated_output": "", "exit_code": null, "status": "in_progress"});
        self.print_item("item.started", item.clone())?;
        let ran = shell::run(command).await?;
        item["aggregated_output"] = ran.output.as_str().into();
        item["exit_code"] = ran.exit_code.into();
        item["status"] = if ran.exit_code == 0 { "completed" } else { "failed" }.into();
        self.print_item("item.completed", item)?;
        self.items += 1;
        let output = format!("Process exited with code {}\nOutput:\n{}", ran.exit_code, ran.output);
        self.thread
            .keep(json!({"type": "function_call_output", "call_id": call["call_id"], "output": output}))
    }

    fn print_item(&self, kind: &str, mut item: Value) -> anyhow::Result<()> {
        item["id"] = format!("item_{}", self.items).into();
        Ok(print(&json!({"type": kind, "item": item}))?)
    }

    /// Returns the item that the model answers, or the words in which that failed.
    async fn ask(&mut self) -> anyhow::Result<Result<Value, String>> {
        let body = json!({"model": "scripted", "stream": true, "tools": [{"type": "function", "name": "exec_command"}],
            "input": self.thread.items});
        let events = match model::ask(&self.url, &body).await? {
            Answer::Events(events) => events,
            Answer::Refused { status, error, .. } => return Ok(Err(refused(status, &error))),
        };
        let mut item = None;
        for mut event in events {
            match event["type"].as_str() {
                Some("response.output_item.done") => item = Some(event["item"].take()),
                Some("response.completed") => self.thread.add_usage(&event["response"]["usage"])?,
                Some("response.failed") => {
                    let error = &event["response"]["error"];
                    return Ok(Err(error["message"].as_str().unwrap_or_default().to_owned()));
                }
                _ => {}
            }
        }
        Ok(item.ok_or_else(|| "stream disconnected before completion".to_owned()))
    }
}

/// Says a refusal in the words of the real one.
fn refused(status: u16, error: &Value) -> String {
    let message = error["message"].as_str().unwrap_or_default();
    match (status, error["type"].as_str()) {
        (429, Some("usage_limit_reached")) => {
            let at = error["resets_at"].as_i64().and_then(|at| chrono::DateTime::from_timestamp(at, 0));
            let again = at.map_or("Try again later.".to_owned(), |at| {
                at.with_timezone(&chrono::Local).format("Try again at %-I:%M %p.").to_string()
            });
            format!("You’ve hit your usage limit. {again}")
        }
        (429, _) => "exceeded retry limit, last status: 429 Too Many Requests".to_owned(),
        (400, _) => json!({"type": "error", "error": error}).to_string(),
        _ => format!("unexpected status {status}: {message}"),
    }
}
