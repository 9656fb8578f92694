//! Runs the scripted model alone, to try clients against it by hand: `makima-scripted-model [PORT]`. Prints its URL. A gate
//! is opened by `POST /gates/NAME`. At its end (Ctrl-C) it prints the requests.

use std::io::Write as _;

use makima_scripted_model::ScriptedModel;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let model = ScriptedModel::start_at(port).await?;
    writeln!(std::io::stdout(), "{}", model.url())?;
    tokio::signal::ctrl_c().await?;
    for request in model.requests() {
        writeln!(std::io::stdout(), "{} {}", request.path, request.body)?;
    }
    Ok(())
}
