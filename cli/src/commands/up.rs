//! `makima up`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::directories;
use crate::settings::SettingsArgs;
use crate::up::{self, UpOptions};

/// What to run on this machine.
#[derive(Args, Debug)]
#[command(
    after_help = "PostgreSQL and Redis are private ones in the data directory, unless a URL is given for one. The data \
                  directory keeps all tasks over restarts, and the file client.json in it tells the client commands \
                  where the API is. Ctrl-C stops everything in order; a second one kills it.\n\n\
                  Paths of this machine are taken as repositories, unless --set repositories.allow_local=false."
)]
pub(super) struct UpArgs {
    /// Where everything is kept (default: /var/lib/makima/up for root, else makima/up below ~/.local/share)
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// The address that the API listens on; port 0 takes a free one (default: 127.0.0.1:7420)
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,

    /// How many worker processes to run
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=256))]
    workers: u32,

    /// How many tasks each worker runs at once (default: 2)
    #[arg(long, value_name = "N")]
    slots: Option<String>,

    /// What confines agents: auto, bubblewrap, landlock or none (default: auto)
    #[arg(long, value_name = "LEVEL")]
    sandbox: Option<String>,

    #[command(flatten)]
    settings: SettingsArgs,

    /// For tests: a crash of the machine may take what was stored
    #[arg(long, hide = true)]
    no_fsync: bool,

    /// End when standard input does: it is a pipe that the parent holds
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

pub(super) async fn run(args: UpArgs) -> anyhow::Result<ExitCode> {
    let mut settings = args.settings;
    let flags = [("api.listen", args.listen), ("worker.slots", args.slots), ("worker.sandbox", args.sandbox)];
    settings.set.extend(flags.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    let data_dir = match args.data_dir {
        Some(data_dir) => data_dir,
        None => directories::default_up()?,
    };
    let options = UpOptions {
        data_dir: std::path::absolute(data_dir)?,
        workers: args.workers,
        settings,
        durable: !args.no_fsync,
        exit_with_parent: args.exit_with_parent,
    };
    Box::pin(up::run(options)).await
}
