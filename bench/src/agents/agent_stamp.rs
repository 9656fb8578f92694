//! `makima-bench agent-stamp FILE`: an agent whose only work is to say when it began.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;

/// The subcommand's name.
const NAME: &str = "agent-stamp";

/// Returns the agent's command line.
pub(crate) fn argv(file: &Path) -> anyhow::Result<Vec<String>> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let words = [program.as_os_str(), OsStr::new(NAME), file.as_os_str()];
    words.into_iter().map(|word| word.to_str().map(str::to_owned).context("a path is not UTF-8")).collect()
}

/// Returns the file to write, if this process is such an agent.
pub(crate) fn requested() -> Option<PathBuf> {
    let mut arguments = std::env::args_os().skip(1);
    let name = arguments.next()?;
    if name == NAME { arguments.next().map(PathBuf::from) } else { None }
}

/// Writes the time in nanoseconds since 1970.
pub(crate) fn write(at: SystemTime, file: &Path) -> ExitCode {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    match std::fs::write(file, since.as_nanos().to_string()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write {}: {error}", file.display());
            ExitCode::FAILURE
        }
    }
}

/// Reads what an agent wrote.
pub(crate) fn read(file: &Path) -> anyhow::Result<SystemTime> {
    let text = std::fs::read_to_string(file).context("the agent left no time stamp")?;
    let nanos = text.trim().parse().context("the agent's time stamp is no number")?;
    Ok(UNIX_EPOCH + Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_to_the_nanosecond() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let at = UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
        write(at, file.path());
        assert_eq!(read(file.path()).unwrap(), at);
    }
}
