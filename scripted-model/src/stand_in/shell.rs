//! Runs a command of the model, in a session of its own as the real clients do.

use std::process::Stdio;

use tokio::process::Command;

/// What came of a command.
pub(crate) struct Ran {
    pub(crate) output: String,
    pub(crate) exit_code: i32,
}

pub(crate) async fn run(command: &str) -> std::io::Result<Ran> {
    // No process group is led by a child that was just made, so `setsid` becomes the shell itself.
    let mut shell = Command::new("setsid");
    shell.args(["bash", "-c", command]).stdin(Stdio::null());
    let output = shell.output().await?;
    let text = [output.stdout, output.stderr].concat();
    Ok(Ran {
        output: String::from_utf8_lossy(&text).into_owned(),
        exit_code: output.status.code().unwrap_or(137),
    })
}
