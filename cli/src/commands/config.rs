//! `makima config`

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use console::style;
use makima_shared::config::SETTINGS;

use crate::render::Paint;
use crate::settings::variable;

/// Flags of the list.
#[derive(Args, Debug)]
pub(super) struct ConfigArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    if args.json {
        let list: Vec<_> = SETTINGS
            .iter()
            .map(|setting| {
                serde_json::json!({
                    "key": setting.key, "default": setting.default, "expects": setting.expects,
                    "help": setting.help, "variable": variable(setting.key),
                })
            })
            .collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&list)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    Paint::for_stdout();
    for setting in SETTINGS {
        let default = if setting.default.is_empty() { "(none)" } else { setting.default };
        writeln!(out, "{}  {}", style(setting.key).bold(), setting.help)?;
        writeln!(out, "    default {default}; takes {}; {}", setting.expects, variable(setting.key))?;
    }
    writeln!(
        out,
        "\nFlags (--set {}=..) win over the environment, that over the file of --config, that over the defaults.",
        SETTINGS[0].key
    )?;
    Ok(ExitCode::SUCCESS)
}
