//! `makima migrate`

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use makima_shared::config::Config;
use makima_shared::store::Store;

use crate::role;
use crate::settings::{SettingsArgs, require_urls};

/// Flags of the migration.
#[derive(Args, Debug)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) async fn run(args: MigrateArgs) -> anyhow::Result<ExitCode> {
    let store = open_store(&args.settings)?;
    store.check_pooler().await?;
    store.migrate().await.context("cannot migrate the database")?;
    store.close().await;
    eprintln!("the schema is up to date");
    Ok(ExitCode::SUCCESS)
}

/// Opens the store of a command that needs PostgreSQL alone.
pub(super) fn open_store(settings: &SettingsArgs) -> anyhow::Result<Store> {
    let config = Config::load(&settings.source())?;
    require_urls(&config, false)?;
    role::install_tls();
    Ok(Store::open(&config.database.url, config.database.max_connections, "makima")?)
}
