//! `makima keys`

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::migrate::open_store;
use crate::settings::SettingsArgs;

/// What to do with keys.
#[derive(Args, Debug)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key and print it: once, since only its hash is stored
    Create(CreateArgs),
}

#[derive(Args, Debug)]
struct CreateArgs {
    #[command(flatten)]
    settings: SettingsArgs,

    /// Whose tasks the key gives access to; made if there is no such owner yet
    #[arg(long, value_name = "NAME")]
    owner: String,

    /// What to call the key
    #[arg(long, value_name = "KEYNAME", default_value = "made by makima keys create")]
    name: String,

    /// The key of somebody who looks after the whole installation: it shows how much every owner has to do
    #[arg(long)]
    operator: bool,
}

pub(super) async fn run(args: KeysArgs) -> anyhow::Result<ExitCode> {
    let KeysCommand::Create(args) = args.command;
    let store = open_store(&args.settings)?;
    let owner = store.owner_ensure(&args.owner).await.context("cannot find or make the owner")?;
    let key = if args.operator {
        store.operator_key_create(owner, &args.name).await
    } else {
        store.api_key_create(owner, &args.name).await
    };
    let key = key.context("cannot make the key")?;
    store.close().await;
    writeln!(std::io::stdout(), "{key}")?;
    Ok(ExitCode::SUCCESS)
}
