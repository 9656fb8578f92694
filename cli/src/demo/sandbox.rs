//! What holds the demo's agents: the best that this machine has. They do no harm, so that none will do, too.

use anyhow::Context;
use makima_shared::config::{Config, ConfigSource};
use makima_worker::{sandbox, shim};

use super::stage::Stage;

const NONE: &str = "none";

/// Returns the setting `worker.sandbox` for this machine.
pub(crate) async fn choose(stage: &Stage) -> anyhow::Result<&'static str> {
    let place = stage.path().join("sandbox");
    let config = Config::load(&ConfigSource::default().flag("worker.data_dir", Some(place.display())))?;
    let executable = shim::own_executable().context("cannot find the makima executable for agents")?;
    Ok(match sandbox::choose(&config.worker, &executable, &[]).await {
        Ok(chosen) => chosen.report.level,
        Err(_none_holds) => NONE,
    })
}

/// Says it to a person.
pub(crate) fn in_words(sandbox: &str) -> &'static str {
    match sandbox {
        "bubblewrap" => "agents run in a sandbox of bubblewrap's, which a self-test could not leave",
        "landlock" => "agents run under Landlock: no bubblewrap works here",
        _ => {
            "agents run without a sandbox: neither bubblewrap nor Landlock works here (makima sandbox-check says why)"
        }
    }
}
