//! Long text for people: through their pager, or straight to the terminal where there is none.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Where text for people goes.
pub(crate) struct Pager(Option<Running>);

struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Ctrl-C is the pager's: it stops a search, say. For as long as this is held, it does not end this process.
    _interrupts: Signal,
}

impl Pager {
    /// Starts `$PAGER`, or `less`. An empty `$PAGER`, or one that cannot be started, is none.
    pub(crate) fn open() -> io::Result<Self> {
        let command = match std::env::var_os("PAGER") {
            Some(line) if line.is_empty() || line == "cat" => return Ok(Self(None)),
            Some(line) => shell(line),
            None => {
                let mut less = Command::new("less");
                less.arg("-R");
                less
            }
        };
        Self::start(command)
    }

    fn start(mut command: Command) -> io::Result<Self> {
        // As git does: colours, no pager for what fits on the screen, and the text stays on the screen.
        for (name, value) in [("LESS", "FRX"), ("LV", "-c")] {
            if std::env::var_os(name).is_none() {
                command.env(name, value);
            }
        }
        let interrupts = signal(SignalKind::interrupt())?;
        let Ok(mut child) = command.stdin(Stdio::piped()).spawn() else { return Ok(Self(None)) };
        let stdin = child.stdin.take();
        Ok(Self(Some(Running { child, stdin, _interrupts: interrupts })))
    }

    /// Shows more text; `false` once nobody looks any more.
    pub(crate) async fn show(&mut self, text: &str) -> io::Result<bool> {
        let Some(running) = &mut self.0 else {
            return io::stdout().write_all(text.as_bytes()).map(|()| true);
        };
        let Some(stdin) = &mut running.stdin else { return Ok(false) };
        match stdin.write_all(text.as_bytes()).await {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            written => written.map(|()| true),
        }
    }

    /// Says that this was all, and waits until the reader has left.
    pub(crate) async fn close(self) -> io::Result<()> {
        if let Some(mut running) = self.0 {
            drop(running.stdin.take());
            running.child.wait().await?;
        }
        Ok(())
    }
}

fn shell(line: OsString) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(line);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pager_gets_all_of_the_text() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("seen");
        let mut pager = Pager::start(shell(format!("cat > '{}'", file.display()).into())).unwrap();
        let text = "a line\n".repeat(100_000);
        assert!(pager.show(&text).await.unwrap() && pager.show("end").await.unwrap());
        pager.close().await.unwrap();
        assert_eq!(std::fs::read_to_string(file).unwrap(), text + "end");
    }

    #[tokio::test]
    async fn a_reader_who_leaves_is_no_error() {
        let mut pager = Pager::start(shell("exit 0".into())).unwrap();
        // The pipe breaks at the latest when it is full.
        while pager.show("text").await.unwrap() {}
        pager.close().await.unwrap();
    }

    #[tokio::test]
    async fn without_a_pager_the_text_goes_on_its_own() {
        let pager = Pager::start(Command::new("/no/such/pager")).unwrap();
        assert!(pager.0.is_none());
    }
}
