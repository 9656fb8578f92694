use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use nix::unistd::Pid;

use super::stack::{Stack, lines_until};

const ENTERED: &str = "\x1b[?1049h";
const LEFT: &str = "\x1b[?1049l";

fn top() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_makima"));
    command.arg("top").env_remove("NO_COLOR").env("TERM", "xterm");
    command
}

fn top_of(client_file: &Path) -> Command {
    let mut command = top();
    command.arg("--client").arg(client_file);
    command
}

/// A terminal of 80 columns with a program in it.
struct Terminal {
    program: Child,
    keyboard: File,
    screen: File,
    seen: String,
}

impl Terminal {
    fn start(mut command: Command) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let side = || Stdio::from(pty.slave.try_clone().unwrap());
        let program = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
        let keyboard = File::from(pty.master);
        Self { program, screen: keyboard.try_clone().unwrap(), keyboard, seen: String::new() }
    }

    fn modes(&self) -> Termios {
        tcgetattr(&self.keyboard).unwrap()
    }

    /// Reads on until something is seen.
    fn until_seen(&mut self, text: &str) {
        let mut bytes = [0; 4096];
        while !self.seen.contains(text) {
            let count = self.screen.read(&mut bytes).unwrap_or_else(|error| panic!("{error}: {}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// Waits for the end, and checks that the terminal is what it was.
    fn end(mut self) -> Option<i32> {
        let code = self.program.wait().unwrap().code();
        let modes = self.modes();
        assert!(modes.local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO), "{modes:?}");
        self.until_seen(LEFT);
        assert!(self.seen.trim_end().ends_with(LEFT), "{:?}", self.seen);
        code
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn top_shows_what_runs_and_gives_the_terminal_back() {
    let stack = Stack::start(1, 1).await;
    let gate = stack.shared("gate");
    let id = stack.submit(&stack.script("a task to see", &lines_until(&gate))).await;
    stack.wait_for(&id, "output", |event| event["data"]["text"] == "line 1").await;
    let client_file = stack.data_dir().join("client.json");

    let piped = top_of(&client_file).output().unwrap();
    let frame = String::from_utf8(piped.stdout).unwrap();
    assert!(piped.status.success(), "{}", String::from_utf8_lossy(&piped.stderr));
    for part in ["a task to see", "worker-1", "default", "1 of 1 slots busy"] {
        assert!(frame.contains(part), "{part} is not in\n{frame}");
    }
    assert!(!frame.contains('\x1b'), "{frame:?}");

    let mut terminal = Terminal::start(top_of(&client_file));
    terminal.until_seen("a task to see");
    assert!(!terminal.modes().local_flags.intersects(LocalFlags::ICANON | LocalFlags::ECHO));
    terminal.keyboard.write_all(b"xq").unwrap();
    assert_eq!(terminal.end(), Some(0));

    let mut terminal = Terminal::start(top_of(&client_file));
    terminal.until_seen("a task to see");
    kill(Pid::from_raw(i32::try_from(terminal.program.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(terminal.end(), Some(143));
    std::fs::write(&gate, "").unwrap();
}

#[test]
fn top_waits_for_an_api_that_is_away() {
    let mut command = top();
    command.args(["--url", "http://127.0.0.1:1", "--api-key", "mk_x", "--interval", "0.1"]);
    let mut terminal = Terminal::start(command);
    terminal.until_seen(ENTERED);
    terminal.until_seen("no answer from http://127.0.0.1:1");
    terminal.keyboard.write_all(b"q").unwrap();
    assert_eq!(terminal.end(), Some(0));
}
