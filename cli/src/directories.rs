//! Where things lie when nobody says otherwise, and how what lay there for a while is removed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use nix::unistd::geteuid;
use tokio::time::sleep;

/// How long the processes of servers that were killed may write on.
const REMOVE_TRIES: u32 = 50;
const REMOVE_EVERY: Duration = Duration::from_millis(100);

/// Returns makima's directory of this user: `/var/lib/makima` for root, else below `$XDG_DATA_HOME` or
/// `~/.local/share`.
fn data_home() -> Option<PathBuf> {
    if geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/makima"));
    }
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    base.map(|base| base.join("makima"))
}

/// Returns the data directory of `makima up`.
pub(crate) fn default_up() -> anyhow::Result<PathBuf> {
    Ok(data_home().context("there is no $HOME to keep data in: say where with --data-dir")?.join("up"))
}

/// Returns the data directory of a worker that is started by itself.
pub(crate) fn default_worker() -> anyhow::Result<PathBuf> {
    let home = data_home().context("there is no $HOME to keep data in: say where with --data-dir")?;
    Ok(home.join("worker"))
}

/// Returns the file with the URL and key of a data directory.
pub(crate) fn client_file(data_dir: &Path) -> PathBuf {
    data_dir.join("client.json")
}

/// Returns the client file of the default data directory, if there is one.
pub(crate) fn default_client_file() -> Option<PathBuf> {
    default_up().ok().map(|data_dir| client_file(&data_dir))
}

/// Removes a directory that processes of killed servers may still write to, and tells whether it is gone.
pub(crate) async fn remove_persistently(dir: &Path) -> bool {
    for _ in 0..REMOVE_TRIES {
        if std::fs::remove_dir_all(dir).is_ok() || !dir.exists() {
            return true;
        }
        sleep(REMOVE_EVERY).await; // why: they are not our children, so nothing tells of their end
    }
    false
}
