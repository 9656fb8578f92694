//! Claude Code: turns, its conversation's file, its retries.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::claude_lines::{self as lines, End, Used};
use crate::model::{self, Answer};
use crate::prompts::{Prompt, Prompts};
use crate::{option, print, shell};

/// Options that stand for themselves; whatever else begins with two hyphens has its value after it or behind `=`.
const FLAGS: [&str; 5] =
    ["-p", "--print", "--verbose", "--replay-user-messages", "--dangerously-skip-permissions"];

pub(crate) async fn run(args: &[String]) -> anyhow::Result<ExitCode> {
    if args.iter().any(|arg| arg == "--version") {
        println!("2.1.197 (Claude Code)");
        return Ok(ExitCode::SUCCESS);
    }
    if is_refused_to_root(args)? {
        eprintln!(
            "--dangerously-skip-permissions cannot be used with root/sudo privileges for security reasons"
        );
        return Ok(ExitCode::FAILURE);
    }
    let mut client = Client::new(args)?;
    let mut prompts = if option(args, "--input-format") == Some("stream-json") {
        if std::fs::metadata("/proc/self/fd/0").is_ok_and(|stdin| stdin.is_file()) {
            // The real one does not read it either, and says nothing.
            return Ok(ExitCode::SUCCESS);
        }
        Prompts::stdin_messages()
    } else {
        prompt(args).map_or_else(Prompts::stdin, |text| Ok(Prompts::one(text)))?
    };
    let mut interrupts = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mut end = End::Interrupted;
    while let Some(prompt) = prompts.next().await {
        client.begin_turn(&prompt)?;
        end = tokio::select! {
            end = client.turn(&mut prompts) => end?,
            _ = interrupts.recv() => End::Interrupted,
        };
        print(&lines::result(&end, &client.used, &client.session))?;
        if !matches!(end, End::Said(_)) {
            break;
        }
    }
    Ok(if matches!(end, End::Said(_)) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The real one bypasses no permission as root, unless it is told of a sandbox.
fn is_refused_to_root(args: &[String]) -> std::io::Result<bool> {
    let bypasses = args.iter().any(|arg| arg == "--dangerously-skip-permissions");
    let is_root = std::fs::metadata("/proc/self")?.uid() == 0;
    Ok(bypasses && is_root && std::env::var("IS_SANDBOX").as_deref() != Ok("1"))
}

fn prompt(args: &[String]) -> Option<String> {
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            return args.next().cloned();
        } else if !arg.starts_with('-') {
            return Some(arg.clone());
        } else if !FLAGS.contains(&arg.as_str()) && !arg.contains('=') {
            args.next();
        }
    }
    None
}

struct Client {
    session: String,
    url: String,
    conversation: Vec<Value>,
    file: File,
    used: Used,
}

impl Client {
    fn new(args: &[String]) -> anyhow::Result<Self> {
        let resumed = option(args, "--resume");
        let session = resumed.or(option(args, "--session-id")).map(str::to_owned);
        let session = session.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let path = conversation_path(&session)?;
        let mut conversation = Vec::new();
        if resumed.is_some() {
            let kept = std::fs::read_to_string(&path);
            let kept = kept.with_context(|| format!("No conversation found with session ID: {session}"))?;
            let kept = kept.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
            conversation = kept.into_iter().map(|mut line| line["message"].take()).collect();
            drop_interrupted(&mut conversation);
        }
        let base = std::env::var("ANTHROPIC_BASE_URL").context("ANTHROPIC_BASE_URL is not set")?;
        let file = File::options().create(true).append(true).open(path)?;
        let url = format!("{base}/v1/messages?beta=true");
        Ok(Self { session, url, conversation, file, used: Used::default() })
    }

    fn begin_turn(&mut self, prompt: &Prompt) -> anyhow::Result<()> {
        self.used.begin_turn();
        print(&lines::init(&self.session))?;
        self.hear(prompt)
    }

    /// Takes a prompt up, and repeats one that has a name, as it is asked to with `--replay-user-messages`.
    fn hear(&mut self, Prompt { id, text }: &Prompt) -> anyhow::Result<()> {
        let message = json!({"role": "user", "content": text});
        let Some(id) = id else { return self.keep("user", message) };
        print(&lines::replay(id, &message, &self.session))?;
        self.keep_as(id, "user", message)
    }

    /// Asks for steps until the model has said something.
    async fn turn(&mut self, prompts: &mut Prompts) -> anyhow::Result<End> {
        loop {
            // What was said meanwhile joins the turn.
            while let Some(prompt) = prompts.come() {
                self.hear(&prompt)?;
            }
            let block = match self.ask().await? {
                Ok(block) => block,
                Err(end) => return Ok(end),
            };
            let message = json!({"role": "assistant", "content": [block]});
            print(&lines::message("assistant", &message, &self.session))?;
            self.keep("assistant", message)?;
            if let Some(text) = block["text"].as_str() {
                return Ok(End::Said(text.to_owned()));
            }
            let result = run_tool(&block).await?;
            let message = json!({"role": "user", "content": [result]});
            print(&lines::message("user", &message, &self.session))?;
            self.keep("user", message)?;
        }
    }

    /// Returns the block that the model answers, or how that failed.
    async fn ask(&mut self) -> anyhow::Result<Result<Value, End>> {
        let body = json!({"model": "claude-opus-4-8", "stream": true, "max_tokens": 1000,
            "tools": [{"name": "Bash"}], "messages": self.conversation});
        let most =
            std::env::var("CLAUDE_CODE_MAX_RETRIES").ok().and_then(|most| most.parse().ok()).unwrap_or(10);
        for attempt in 1_u32.. {
            let (status, error, resets_at) = match model::ask(&self.url, &body).await? {
                Answer::Events(events) => return Ok(self.read(&events)),
                Answer::Refused { status, error, resets_at } => (status, error, resets_at),
            };
            if matches!(status, 401 | 500..) && attempt <= most {
                print(&lines::retry(attempt, most, status, &self.session))?;
                continue;
            }
            let has_login = std::env::var_os("CLAUDE_CODE_OAUTH_TOKEN").is_some();
            if let Some(resets_at) = resets_at.filter(|_| has_login) {
                print(&lines::limit(resets_at, &self.session))?;
                return Ok(Err(End::Failed(Some(status), "You've hit your session limit".to_owned())));
            }
            let words = format!("API Error: {status} {}", error["message"].as_str().unwrap_or_default());
            return Ok(Err(End::Failed(Some(status), words)));
        }
        anyhow::bail!("asked too often")
    }

    fn read(&mut self, events: &[Value]) -> Result<Value, End> {
        let mut block = Value::Null;
        let (mut input, mut output) = (0, 0);
        for event in events {
            match event["type"].as_str() {
                Some("message_start") => {
                    input = event["message"]["usage"]["input_tokens"].as_u64().unwrap_or_default();
                }
                Some("content_block_start") => block = event["content_block"].clone(),
                Some("content_block_delta") => add_delta(&mut block, &event["delta"]),
                Some("message_delta") => {
                    output = event["usage"]["output_tokens"].as_u64().unwrap_or_default()
                }
                Some("error") => {
                    let words = "API Error: API returned an empty or malformed response (HTTP 200)";
                    return Err(End::Failed(None, words.to_owned()));
                }
                _ => {}
            }
        }
        self.used.add(input, output);
        Ok(block)
    }

    fn keep(&mut self, role: &str, message: Value) -> anyhow::Result<()> {
        self.keep_as(&uuid::Uuid::now_v7().to_string(), role, message)
    }

    fn keep_as(&mut self, id: &str, role: &str, message: Value) -> anyhow::Result<()> {
        let line = json!({"type": role, "sessionId": self.session, "uuid": id, "message": message});
        self.file.write_all(format!("{line}\n").as_bytes())?;
        self.conversation.push(message);
        Ok(())
    }
}

fn add_delta(block: &mut Value, delta: &Value) {
    if let Some(text) = delta["text"].as_str() {
        block["text"] = text.into();
    } else if let Some(json) = delta["partial_json"].as_str() {
        block["input"] = serde_json::from_str(json).unwrap_or_default();
    }
}

async fn run_tool(block: &Value) -> anyhow::Result<Value> {
    let command = block["input"]["command"].as_str().context("only Bash is known")?;
    let ran = shell::run(command).await?;
    let is_error = ran.exit_code != 0;
    let content = if is_error { format!("Exit code {}\n{}", ran.exit_code, ran.output) } else { ran.output };
    Ok(json!({"type": "tool_result", "tool_use_id": block["id"], "content": content, "is_error": is_error}))
}

/// A tool use without a result is not told of again.
fn drop_interrupted(conversation: &mut Vec<Value>) {
    if conversation.last().is_some_and(|message| message["content"][0]["type"] == "tool_use") {
        conversation.pop();
        conversation.push(json!({"role": "user", "content": "Continue from where you left off."}));
        conversation.push(json!({"role": "assistant", "content": "No response requested."}));
    }
}

fn conversation_path(session: &str) -> anyhow::Result<PathBuf> {
    let config = std::env::var("CLAUDE_CONFIG_DIR")
        .or_else(|_| Ok::<_, anyhow::Error>(format!("{}/.claude", std::env::var("HOME")?)))?;
    let folder: String = std::env::current_dir()?.to_string_lossy().replace(['/', '.', '_'], "-");
    let directory = PathBuf::from(config).join("projects").join(folder);
    std::fs::create_dir_all(&directory)?;
    Ok(directory.join(format!("{session}.jsonl")))
}
