//! The lines of all processes in one stream on standard output, each behind the name of who wrote it.
//!
//! A thread of its own writes: a terminal that was stopped holds up those who write lines, and nobody else.

use std::io::{self, Write};

use console::Style;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::{mpsc, oneshot};

const WAITING_LINES: usize = 1024;
/// What this process itself says.
const OWN_NAME: &str = "makima";

enum Message {
    Line(String),
    Flush(oneshot::Sender<()>),
}

/// Where lines go. Clones share it.
#[derive(Clone)]
pub(super) struct LogLines {
    sender: mpsc::Sender<Message>,
    name_width: usize,
}

impl LogLines {
    /// Starts the thread that writes. Names are padded to the longest one of a stack with so many workers.
    pub(super) fn start(workers: u32) -> Self {
        let (sender, mut receiver) = mpsc::channel(WAITING_LINES);
        std::thread::spawn(move || {
            while let Some(message) = receiver.blocking_recv() {
                match message {
                    // Whoever read our output may be gone; the roles go on.
                    Message::Line(line) => drop(writeln!(io::stdout().lock(), "{line}")),
                    Message::Flush(done) => drop(done.send(())),
                }
            }
        });
        Self { sender, name_width: "scheduler".len().max(format!("worker-{workers}").len()) }
    }

    /// Writes a line of this process itself.
    pub(super) async fn say(&self, text: &str) {
        self.line(OWN_NAME, text).await;
    }

    /// Writes a line behind a name.
    pub(super) async fn line(&self, name: &str, text: &str) {
        let prefix = format!("{name:<width$} |", width = self.name_width);
        let line = format!("{} {text}", style_of(name).apply_to(prefix));
        // The writing thread ends with the last sender alone.
        let _ = self.sender.send(Message::Line(line)).await;
    }

    /// Passes on every line of a stream, to its end.
    pub(super) async fn pass_on(self, name: String, stream: impl AsyncRead + Unpin) {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).await.is_ok_and(|count| count > 0) {
            self.line(&name, String::from_utf8_lossy(&line).trim_end()).await;
            line.clear();
        }
    }

    /// Waits until every line so far is written.
    pub(super) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.sender.send(Message::Flush(done)).await.is_ok() {
            let _ = written.await;
        }
    }
}

/// Gives each name its colour, the same one every time.
fn style_of(name: &str) -> Style {
    let style = Style::new();
    match name {
        OWN_NAME => style.bold(),
        "api" => style.cyan(),
        "scheduler" => style.magenta(),
        worker => {
            let number = worker.bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(10).wrapping_add(byte));
            match number % 4 {
                0 => style.green(),
                1 => style.yellow(),
                2 => style.blue(),
                _ => style.green().bright(),
            }
        }
    }
}
