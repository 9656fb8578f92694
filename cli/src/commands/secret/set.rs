//! `makima secret set`

use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use console::Term;
use makima_shared::domain::{MAX_SECRET_BYTES, SecretValue, is_secret_name};

use crate::client::ClientArgs;
use crate::failure::UsageError;
use crate::render;

const EXAMPLE: &str = "\
The value is no argument, because process lists and shells' histories show those. One line's end behind it is no part of it.

  gh auth token | makima secret set GITHUB_TOKEN
  makima run --secret GITHUB_TOKEN --secret OPENAI_API_KEY=team_key ..";

/// The secret to set.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(super) struct SetArgs {
    /// What to call it: letters, digits and underscores
    name: String,

    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: SetArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    if !is_secret_name(&args.name) {
        let words = "a secret's name is letters, digits and underscores, and does not begin with a digit";
        return Err(UsageError(words.to_owned()).into());
    }
    let text = if io::stdin().is_terminal() { ask(&args.name)? } else { read_value(io::stdin())? };
    let value = SecretValue::parse(text).map_err(|problem| UsageError(format!("the value {problem}")))?;
    let answer = client.secret_set(&args.name, &value).await?;
    if args.client.json {
        writeln!(io::stdout(), "{}", render::json(&answer)?)?;
    } else {
        writeln!(io::stdout(), "{} is set", args.name)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks the person at the terminal, without showing what is typed.
fn ask(name: &str) -> anyhow::Result<String> {
    let terminal = Term::stderr();
    terminal.write_str(&format!("{name} (not shown): "))?;
    terminal.read_secure_line().context("cannot read the value from the terminal")
}

/// Reads a value whole, without the line's end behind it.
fn read_value(from: impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    // One more than a value and a line's end may have, so that a longer one is known as such.
    let limit = MAX_SECRET_BYTES as u64 + 3;
    from.take(limit).read_to_string(&mut text).context("cannot read the value from standard input")?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_no_part_of_a_value() {
        for (text, value) in [("abc", "abc"), ("abc\n", "abc"), ("abc\r\n", "abc"), ("a\nb\n\n", "a\nb\n")] {
            assert_eq!(read_value(text.as_bytes()).unwrap(), value);
        }
        let long = read_value("x".repeat(2 * MAX_SECRET_BYTES).as_bytes()).unwrap();
        assert!(SecretValue::parse(long).is_err());
    }
}
