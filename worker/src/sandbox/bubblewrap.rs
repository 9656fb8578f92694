//! The command line of `bwrap`, which makes the namespaces of one agent.
//!
//! bwrap is started from an empty environment, which anybody in the namespace may read of its first process; the agent's
//! own comes to the second stage by the socket, inside. The agent is user 1000 of its namespace, whoever the worker is:
//! clients refuse to work as root, and what belongs to the worker's user belongs to it.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use makima_shared::config::NetworkMode;

use super::{Machine, Places, account};

/// `bwrap` of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bubblewrap {
    program: PathBuf,
}

impl Bubblewrap {
    /// Finds it on the worker's own `PATH`.
    pub fn find() -> Option<Self> {
        let directories = std::env::var_os("PATH")?;
        let is_program = |path: &PathBuf| {
            path.is_absolute()
                && path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        };
        let program =
            std::env::split_paths(&directories).map(|place| place.join("bwrap")).find(is_program)?;
        Some(Self { program })
    }

    /// Writes the command line up to the command that is to run inside.
    pub(super) fn launcher(
        &self,
        machine: &Machine,
        places: &Places,
        network: &NetworkMode,
    ) -> io::Result<Vec<String>> {
        let mut line = Line(vec![utf8(&self.program)?]);
        line.words(&["--die-with-parent", "--new-session"]);
        line.words(&["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]);
        line.words(&["--uid", account::ID, "--gid", account::ID, "--hostname", "agent"]);
        if *network == NetworkMode::Off {
            line.words(&["--unshare-net"]);
        }
        for (link, target) in &machine.links {
            line.paths("--symlink", &[target, link])?;
        }
        // Before whatever lies in them.
        line.words(&["--proc", "/proc", "--dev", "/dev"]);
        line.words(&[
            "--tmpfs",
            "/tmp",
            "--tmpfs",
            "/run",
            "--tmpfs",
            "/var/tmp",
            "--symlink",
            "/run",
            "/var/run",
        ]);
        for (name, real) in &machine.readable {
            line.paths("--ro-bind", &[real, name])?;
        }
        for directory in &machine.hidden_directories {
            line.paths("--tmpfs", &[directory])?;
        }
        for file in &machine.hidden_files {
            line.paths("--ro-bind", &[Path::new("/dev/null"), file])?;
        }
        for path in &places.readable {
            line.paths("--ro-bind", &[path, path])?;
        }
        for path in &places.writable {
            line.paths("--bind", &[path, path])?;
        }
        // What an agent writes beside its own places fails, instead of being lost.
        line.words(&["--remount-ro", "/", "--"]);
        Ok(line.0)
    }
}

struct Line(Vec<String>);

impl Line {
    fn words(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(|word| (*word).to_owned()));
    }

    fn paths(&mut self, flag: &str, paths: &[&Path]) -> io::Result<()> {
        self.0.push(flag.to_owned());
        for path in paths {
            self.0.push(utf8(path)?);
        }
        Ok(())
    }
}

fn utf8(path: &Path) -> io::Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{} is not UTF-8", path.display()))
    })
}
