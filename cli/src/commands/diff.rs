//! `makima diff`

use std::fs::File;
use std::io::{IsTerminal, Read, Seek};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Args;
use makima_shared::domain::TaskId;

use crate::client::{Client, ClientArgs};
use crate::pager::Pager;
use crate::render::{DiffPainter, Paint};

/// How much of a patch is shown at once.
const PIECE_BYTES: usize = 64 << 10;

/// Whose work to show.
#[derive(Args, Debug)]
#[command(
    after_help = "On a terminal it is shown in colours and through $PAGER, or `less`. Elsewhere it is the patch itself, \
                        which `git apply --binary` takes."
)]
pub(super) struct DiffArgs {
    /// The task: its id, or the last 4 or more digits of it
    id: String,

    /// The number of the checkpoint (default: the last one)
    #[arg(long, value_name = "NUMBER")]
    checkpoint: Option<i32>,

    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: DiffArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    let task = client.resolve(&args.id).await?;
    let number = match args.checkpoint {
        Some(number) => number,
        None => {
            let last = client.task(task).await?.last_checkpoint;
            last.ok_or_else(|| anyhow!("the task has no checkpoint yet"))?.number
        }
    };
    show(&client, task, number).await
}

/// Shows the patch of a checkpoint: to people in colours and harmless, to programs as it is. It waits in a file without a
/// name, because the API does not wait for somebody who reads.
pub(super) async fn show(client: &Client, task: TaskId, number: i32) -> anyhow::Result<ExitCode> {
    let mut patch = tempfile::tempfile().context("cannot make a temporary file")?;
    client.checkpoint_patch_to(task, number, &mut patch).await?;
    patch.rewind()?;
    if std::io::stdout().is_terminal() {
        Paint::for_stdout();
        page(patch).await?;
    } else {
        std::io::copy(&mut patch, &mut std::io::stdout())?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn page(mut patch: File) -> std::io::Result<()> {
    let (mut painter, mut pager) = (DiffPainter::default(), Pager::open()?);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = patch.read(&mut piece)?;
        let text = if length == 0 { painter.finish() } else { painter.paint(&piece[..length]) };
        if !pager.show(&text).await? || length == 0 {
            return pager.close().await;
        }
    }
}
