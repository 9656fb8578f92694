//! `makima owners`

mod set;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::migrate::open_store;
use crate::render::{self, Paint};
use crate::settings::SettingsArgs;

/// What to do with owners.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct OwnersArgs {
    #[command(subcommand)]
    command: Option<OwnersCommand>,

    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum OwnersCommand {
    /// Set an owner's share of the workers, and what it may have
    Set(set::SetArgs),
}

#[derive(Args, Debug)]
struct ListArgs {
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) async fn run(args: OwnersArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        Some(OwnersCommand::Set(args)) => set::run(args).await,
        None => list(args.list).await,
    }
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let store = open_store(&args.settings)?;
    let owners = store.owners_list().await.context("cannot list the owners")?;
    store.close().await;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", render::json(&owners)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    Paint::for_stdout();
    if owners.is_empty() {
        writeln!(std::io::stderr(), "no owners: `makima keys create --owner NAME` makes one")?;
    } else {
        out.write_all(render::owner_table(&owners, render::terminal_width()).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}
