//! `makima secret`

mod set;

use std::io::Write;
use std::process::ExitCode;

use chrono::Utc;
use clap::{Args, Subcommand};

use crate::client::ClientArgs;
use crate::failure;
use crate::render::{self, Paint};

/// What to do with secrets.
#[derive(Args, Debug)]
pub(super) struct SecretArgs {
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(Debug, Subcommand)]
enum SecretCommand {
    /// Set a secret: its value comes from standard input or is asked for, and is never shown again
    Set(set::SetArgs),
    /// List the secrets by name, without their values
    List(ListArgs),
    /// Delete secrets; tasks that name them fail
    Delete(DeleteArgs),
}

#[derive(Args, Debug)]
struct ListArgs {
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Args, Debug)]
struct DeleteArgs {
    /// The secrets
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: SecretArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        SecretCommand::Set(args) => set::run(args).await,
        SecretCommand::List(args) => list(args).await,
        SecretCommand::Delete(args) => delete(args).await,
    }
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    Paint::for_stdout();
    let answer = client.secrets_json().await?;
    let mut out = std::io::stdout().lock();
    if args.client.json {
        writeln!(out, "{}", render::json(&answer)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let secrets = client.read_secrets(answer)?;
    if secrets.is_empty() {
        writeln!(std::io::stderr(), "no secrets: `makima secret set NAME` makes one")?;
    } else {
        let table = render::secret_table(&secrets, Utc::now(), render::terminal_width());
        out.write_all(table.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn delete(args: DeleteArgs) -> anyhow::Result<ExitCode> {
    let client = args.client.connect()?;
    let mut end = ExitCode::SUCCESS;
    for name in &args.names {
        match client.secret_delete(name).await {
            Ok(()) => writeln!(std::io::stdout(), "{name} deleted")?,
            Err(error) => {
                let context = format!("cannot delete {name}");
                end = failure::report(&anyhow::Error::new(error).context(context));
            }
        }
    }
    Ok(end)
}
