//! `makima checkpoint`, for agents: it reaches the worker of its own workspace, and nobody else.

use std::env;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use makima_shared::domain::MAX_MESSAGE_CHARS;
use makima_worker::checkpoint_request::{Answer, SOCKET_VARIABLE, TOKEN_VARIABLE, ask};

use crate::failure::UsageError;
use crate::render;

/// What to say about the checkpoint.
#[derive(Args, Debug)]
pub(super) struct CheckpointArgs {
    /// What it is about, in words: it is shown with the checkpoint
    #[arg(short, long, value_name = "WORDS")]
    message: Option<String>,
}

pub(super) fn run(args: &CheckpointArgs) -> anyhow::Result<ExitCode> {
    let (Some(socket), Ok(token)) = (env::var_os(SOCKET_VARIABLE), env::var(TOKEN_VARIABLE)) else {
        let words = format!(
            "this is no workspace of a task: `makima checkpoint` is for agents, whose worker sets {SOCKET_VARIABLE} and \
             {TOKEN_VARIABLE}"
        );
        return Err(UsageError(words).into());
    };
    let message = args.message.as_deref();
    if message.is_some_and(|message| message.chars().count() > MAX_MESSAGE_CHARS) {
        return Err(UsageError(format!("the message is longer than {MAX_MESSAGE_CHARS} characters")).into());
    }
    let answer = ask(Path::new(&socket), &token, message).context("no checkpoint was taken")?;
    let words = match answer {
        Answer::Stored(number) => format!("checkpoint {number}"),
        Answer::Unchanged => "nothing has changed since the last checkpoint".to_owned(),
        Answer::Refused(reason) => bail!("no checkpoint was taken: {}", render::one_line(&reason)),
    };
    writeln!(std::io::stdout(), "{words}")?;
    Ok(ExitCode::SUCCESS)
}
