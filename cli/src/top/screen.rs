//! The terminal while `makima top` has it: a screen of its own, without echo, and as it was before when it is given back,
//! whatever ends the program.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, Once, PoisonError};

use console::Term;
use nix::sys::termios::{self, LocalFlags, SetArg, Termios};

use crate::render::Size;

/// The alternate screen, no cursor, no line breaks by itself.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// How the terminal was. There while a screen is.
static BEFORE: Mutex<Option<Before>> = Mutex::new(None);

struct Before {
    /// None if standard input is no terminal.
    input: Option<Termios>,
}

/// The screen. Dropping it gives the terminal back.
pub(super) struct Screen(());

impl Screen {
    /// Takes the terminal. Ctrl-C and the like go on to be signals.
    pub(super) fn enter() -> io::Result<Self> {
        restore_before_a_panic_speaks();
        take()?;
        Ok(Self(()))
    }

    /// Returns how much room there is.
    pub(super) fn size() -> Size {
        let (height, width) = Term::stdout().size();
        Size { width: Some(usize::from(width).max(1)), height: Some(usize::from(height).max(1)) }
    }

    /// Shows lines instead of those before.
    pub(super) fn draw(&self, lines: &[String]) -> io::Result<()> {
        let mut frame = "\x1b[H".to_owned();
        for (index, line) in lines.iter().enumerate() {
            frame.push_str(if index == 0 { "" } else { "\r\n" });
            frame.push_str(line);
            frame.push_str("\x1b[K");
        }
        frame.push_str("\x1b[J");
        show(&frame)
    }

    /// Gives the terminal back while `stopped` lasts.
    pub(super) fn aside(&self, stopped: impl FnOnce()) -> io::Result<()> {
        give_back();
        stopped();
        take()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    let mut input = None;
    if io::stdin().is_terminal() {
        let before = termios::tcgetattr(io::stdin())?;
        let mut modes = before.clone();
        modes.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &modes)?;
        input = Some(before);
    }
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Before { input });
    show(ENTER)
}

/// Makes the terminal what it was. Does nothing where that was done.
fn give_back() {
    let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    // The terminal may be gone; then there is nothing to give back.
    if let Some(modes) = before.input {
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &modes);
    }
    let _ = show(LEAVE);
}

fn show(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The words of a panic would be gone with the screen that they are written to.
fn restore_before_a_panic_speaks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            hook(panic);
        }));
    });
}
