//! `makima sandbox-check`

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use makima_shared::config::Config;
use makima_worker::sandbox::{self, Chosen, NoSandbox};
use makima_worker::shim;

use super::worker::fill_in;
use crate::settings::SettingsArgs;

/// What is to be tried.
#[derive(Args, Debug)]
#[command(
    after_help = "Runs a program as an agent would run, which tries to get out, and prints what held. \
                        Exits with 1 if no sandbox holds that the settings allow. Takes the settings of a worker."
)]
pub(super) struct SandboxCheckArgs {
    #[command(flatten)]
    settings: SettingsArgs,

    /// What confines agents: auto, bubblewrap, landlock or none
    #[arg(long, value_name = "LEVEL")]
    sandbox: Option<String>,

    /// What agents reach of the network: on, off or proxy:ADDRESS
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,

    /// Where repository copies and workspaces lie
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: SandboxCheckArgs) -> anyhow::Result<ExitCode> {
    let source = args
        .settings
        .source()
        .flag("worker.sandbox", args.sandbox)
        .flag("worker.network", args.network)
        .flag("worker.data_dir", args.data_dir);
    let mut config = Config::load(&source)?;
    fill_in(&mut config.worker)?;
    let executable = shim::own_executable().context("cannot find the makima executable for agents")?;
    let chosen = sandbox::choose(&config.worker, &executable, &config.server_sockets()).await;
    let is_held = chosen.is_ok();
    if args.json {
        print_json(&chosen)?
    } else {
        print(&chosen)?
    }
    Ok(if is_held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(chosen: &Result<Chosen, NoSandbox>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match chosen {
        Ok(Chosen { sandbox, report, passed_over }) => {
            passed_over.iter().try_for_each(|why| writeln!(out, "{why}"))?;
            writeln!(out, "agents are confined by: {}", report.level)?;
            for finding in &report.findings {
                let held = if finding.holds { "holds" } else { "DOES NOT HOLD" };
                writeln!(out, "  {:<26} {held:<14} {}", finding.check, finding.detail)?;
            }
            writeln!(out, "network: {:?}; limits: {}", sandbox.network(), sandbox.limits_in_words())?;
            if report.gaps().next().is_some() {
                writeln!(out, "what does not hold is beyond this level; see docs/SANDBOX.md")?;
            }
        }
        Err(error) => writeln!(out, "{error}")?,
    }
    Ok(())
}

fn print_json(chosen: &Result<Chosen, NoSandbox>) -> anyhow::Result<()> {
    let value = match chosen {
        Ok(Chosen { sandbox, report, passed_over }) => serde_json::json!({
            "passedOver": passed_over,
            "sandbox": report.level, "findings": report.findings,
            "network": format!("{:?}", sandbox.network()), "limits": sandbox.limits_in_words(),
        }),
        Err(error) => serde_json::json!({"sandbox": null, "tried": error.tried}),
    };
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string_pretty(&value)?)?;
    Ok(())
}
