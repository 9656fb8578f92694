//! Where things lie when nobody says otherwise.

use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::unistd::geteuid;

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
