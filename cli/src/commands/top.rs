//! `makima top`

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;

use crate::client::ClientArgs;
use crate::render::{self, Paint, Size, TopView};
use crate::top;

/// How to look on.
#[derive(Args, Debug)]
#[command(
    after_help = "q or Ctrl-C ends it. The key of an operator, such as that of `makima up`, shows all owners."
)]
pub(super) struct TopArgs {
    /// How often to look, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: Duration,

    /// Print one frame and end, as is done wherever the output is no terminal
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: TopArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    if args.client.json {
        writeln!(std::io::stdout(), "{}", render::json(&client.overview_json().await?)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    Paint::for_stdout();
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if !args.once && !dumb && std::io::stdout().is_terminal() {
        return Box::pin(top::watch(&client, args.interval)).await;
    }
    let overview = client.overview().await?;
    let view = TopView {
        url: client.url(),
        overview: Some(&overview),
        rates: None,
        trouble: None,
        age: TimeDelta::zero(),
    };
    let lines = render::top_frame(&view, Size { width: render::terminal_width(), height: None });
    writeln!(std::io::stdout(), "{}", lines.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a number of seconds.
fn interval(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "expected 0.1 to 3600 seconds".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_neither_a_flood_nor_for_ever() {
        assert_eq!(interval("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "0.01", "-1", "NaN", "inf", "1e9", "fast"] {
            assert!(interval(text).is_err(), "{text}");
        }
    }
}
