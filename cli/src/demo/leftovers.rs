//! Finds processes of a demo that outlived it. There must be none.
//!
//! A process is the demo's if its environment says so, or if it is a server that works in the demo's directory (servers
//! write their title over their environment). A person's shell or editor in the directory is not.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::render::one_line;

/// The variable that everything started by a demo has, with the demo's directory as its value.
pub(crate) const MARK: &str = "DEMO_OF_MAKIMA";
/// What agents have in its place, whose environment is made from nothing.
const AGENT_MARK: &str = "MAKIMA_WORKSPACE";
/// What the files of the servers begin with; Debian's redis-server is another name of redis-check-rdb.
const SERVERS: [&[u8]; 3] = [b"postgres", b"redis", b"valkey"];

/// A process that should be gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leftover {
    /// Its process id.
    pub(crate) pid: i32,
    /// What it was started as.
    pub(crate) command: String,
}

/// Lists the demo's processes. Empty where there is no `/proc`: elsewhere nothing shows whose a process is.
pub(crate) fn find(dir: &Path) -> Vec<Leftover> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let own = i32::try_from(std::process::id()).ok();
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| Some(*pid) != own).filter_map(|pid| look(pid, dir)).collect()
}

fn look(pid: i32, dir: &Path) -> Option<Leftover> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let words = fs::read(proc.join("cmdline")).ok().filter(|words| !words.is_empty())?;
    let marked = || {
        let environment = fs::read(proc.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| is_mark(entry, dir))
    };
    let serves = || {
        let program = fs::read_link(proc.join("exe")).ok().and_then(|exe| Some(exe.file_name()?.to_owned()));
        let server = program
            .is_some_and(|name| SERVERS.iter().any(|server| name.as_encoded_bytes().starts_with(server)));
        server && fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir))
    };
    let command = one_line(&String::from_utf8_lossy(&words).replace('\0', " ")).chars().take(80).collect();
    (marked() || serves()).then_some(Leftover { pid, command })
}

fn is_mark(entry: &[u8], dir: &Path) -> bool {
    [MARK, AGENT_MARK].iter().any(|name| {
        let value = entry.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        value.is_some_and(|value| Path::new(OsStr::from_bytes(value)).starts_with(dir))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_name_the_directory_or_what_is_in_it() {
        let dir = Path::new("/tmp/demo-1");
        assert!(is_mark(b"DEMO_OF_MAKIMA=/tmp/demo-1", dir));
        assert!(is_mark(b"MAKIMA_WORKSPACE=/tmp/demo-1/up/x/tree", dir));
        assert!(!is_mark(b"DEMO_OF_MAKIMA=/tmp/demo-12", dir));
        assert!(!is_mark(b"PWD=/tmp/demo-1", dir));
    }
}
