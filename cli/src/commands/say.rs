//! `makima say`

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use makima_shared::domain::MessageText;

use crate::client::ClientArgs;
use crate::render::{self, Paint};

/// What to say to whom.
#[derive(Args, Debug)]
#[command(
    after_help = "An agent takes messages up in order: Claude Code while it works, Codex when its turn has ended. One \
                        that comes before the agent starts waits for it. A command takes none."
)]
pub(super) struct SayArgs {
    /// The task: its id, or the last 4 or more digits of it
    #[arg(value_name = "ID")]
    id: String,
    /// What to say, up to 64 KiB; read from standard input if it is `-` or left out
    #[arg(value_name = "TEXT")]
    text: Option<String>,

    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: SayArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    Paint::for_stdout();
    let task = client.resolve(&args.id).await?;
    let text = match args.text.filter(|text| text != "-") {
        Some(text) => text,
        None => read_text()?,
    };
    let answer =
        client.say(task, &text).await.with_context(|| format!("cannot say that to {}", task.short()))?;
    if args.client.json {
        writeln!(io::stdout(), "{}", render::json(&answer)?)?;
    } else {
        let number = answer.get("number").and_then(serde_json::Value::as_i64).unwrap_or_default();
        writeln!(io::stdout(), "{} message {number} waits for the agent", task.short())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads up to what a message may hold and one byte more, which the API refuses with its words.
fn read_text() -> anyhow::Result<String> {
    let mut text = String::new();
    let most = MessageText::MAX_BYTES as u64 + 1;
    io::stdin()
        .take(most)
        .read_to_string(&mut text)
        .context("cannot read the message from standard input")?;
    Ok(text)
}
