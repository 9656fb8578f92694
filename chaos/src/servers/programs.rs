//! Finds the server programs: on `PATH` and where distributions put what they keep off it.

use std::path::PathBuf;

use anyhow::Context;

/// Directories with one directory per PostgreSQL release.
const POSTGRES_PARENTS: [&str; 4] = ["/usr/lib/postgresql", "/usr", "/opt/homebrew/opt", "/usr/local/opt"];
const REDIS_DIRS: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"];

/// Returns the directory of the newest PostgreSQL.
pub(super) fn postgres() -> anyhow::Result<PathBuf> {
    let mut releases: Vec<_> = POSTGRES_PARENTS
        .iter()
        .filter_map(|parent| std::fs::read_dir(parent).ok())
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let release = name.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().ok()?;
            Some((release, entry.path().join("bin")))
        })
        .collect();
    releases.sort_by_key(|(release, _)| std::cmp::Reverse(*release));
    let all = path_dirs().into_iter().chain(releases.into_iter().map(|(_, dir)| dir));
    let mut usable = all.filter(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file());
    usable.next().context("there is no PostgreSQL on this machine")
}

/// Returns the Redis or Valkey that comes first.
pub(super) fn redis() -> anyhow::Result<PathBuf> {
    let dirs = path_dirs().into_iter().chain(REDIS_DIRS.map(PathBuf::from));
    let mut all = dirs.flat_map(|dir| ["redis-server", "valkey-server"].map(|name| dir.join(name)));
    all.find(|program| program.is_file()).context("there is no Redis on this machine")
}

fn path_dirs() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}
