//! Finds the server programs on this machine: on `PATH` and where distributions put what they keep off it.
//!
//! `scripts/setup.sh` looks in the same places.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::{Found, ServicesError};

/// The oldest PostgreSQL that makima works with.
const POSTGRES_MIN: u32 = 14;
/// The oldest Redis that makima works with.
const REDIS_MIN: (u32, u32) = (6, 2);

/// Directories whose children, one per release, each hold a `bin` with PostgreSQL's programs.
const POSTGRES_PARENTS: [&str; 5] =
    ["/usr/lib/postgresql", "/usr", "/opt/homebrew/opt", "/usr/local/opt", "/home/linuxbrew/.linuxbrew/opt"];
/// Directories with Redis or Valkey that may be missing from `PATH`.
const REDIS_DIRS: [&str; 8] = [
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/opt/homebrew/opt/redis/bin",
    "/opt/homebrew/opt/valkey/bin",
    "/usr/local/opt/redis/bin",
    "/home/linuxbrew/.linuxbrew/opt/redis/bin",
];

/// The programs of one PostgreSQL release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PostgresPrograms {
    pub(super) dir: PathBuf,
    pub(super) major: u32,
}

/// Finds the newest PostgreSQL, or the one of the release `wanted`, which made the cluster at the path beside it.
pub(super) fn find_postgres(wanted: Option<(u32, &Path)>) -> Result<PostgresPrograms, ServicesError> {
    let mut all: Vec<_> = postgres_dirs().into_iter().filter_map(postgres_in).collect();
    all.sort_by_key(|programs| std::cmp::Reverse(programs.major));
    let fits = |programs: &PostgresPrograms| match wanted {
        Some((major, _)) => programs.major == major,
        None => programs.major >= POSTGRES_MIN,
    };
    if let Some(programs) = all.iter().find(|programs| fits(programs)) {
        return Ok(programs.clone());
    }
    let found = Found(all.iter().map(|p| format!("{} in {}", p.major, p.dir.display())).collect());
    Err(match wanted {
        Some((major, cluster)) => {
            ServicesError::PostgresRelease { cluster: cluster.to_owned(), major, found }
        }
        None => ServicesError::PostgresMissing { minimum: POSTGRES_MIN, found },
    })
}

/// Finds a Redis or Valkey that is new enough; what comes first on `PATH` wins.
pub(super) fn find_redis() -> Result<PathBuf, ServicesError> {
    let mut found = Found::default();
    for dir in path_dirs().into_iter().chain(REDIS_DIRS.map(PathBuf::from)) {
        for name in ["redis-server", "valkey-server"] {
            let program = dir.join(name);
            match version_text(&program).as_deref().and_then(redis_version) {
                Some(version) if version >= REDIS_MIN => return Ok(program),
                Some((major, minor)) => found.0.push(format!("{major}.{minor} in {}", dir.display())),
                None => {}
            }
        }
    }
    Err(ServicesError::RedisMissing { found })
}

fn path_dirs() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

fn postgres_dirs() -> Vec<PathBuf> {
    let releases = POSTGRES_PARENTS.iter().filter_map(|parent| fs::read_dir(parent).ok()).flatten();
    let named = releases.flatten().filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with("pgsql-") || name.starts_with("postgresql") || name.parse::<u32>().is_ok()
    });
    path_dirs().into_iter().chain(named.map(|entry| entry.path().join("bin"))).collect()
}

fn postgres_in(dir: PathBuf) -> Option<PostgresPrograms> {
    if !dir.join("initdb").is_file() {
        return None;
    }
    let major = postgres_major(&version_text(&dir.join("postgres"))?)?;
    Some(PostgresPrograms { dir, major })
}

fn version_text(program: &Path) -> Option<String> {
    if !program.is_file() {
        return None;
    }
    let output = Command::new(program).arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian ...)`, also `16beta1`.
fn postgres_major(text: &str) -> Option<u32> {
    leading_number(text.split_once("(PostgreSQL) ")?.1)
}

/// Reads `Redis server v=7.0.15 sha=...` and `Valkey server v=8.0.1 ...`.
fn redis_version(text: &str) -> Option<(u32, u32)> {
    let (major, rest) = text.split_once(" v=")?.1.split_once('.')?;
    Some((major.parse().ok()?, leading_number(rest)?))
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_programs_print() {
        assert_eq!(postgres_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(postgres_major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(redis_version("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc"), Some((7, 0)));
        assert_eq!(redis_version("Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc"), Some((8, 1)));
        assert_eq!(redis_version("something else"), None);
    }

    #[test]
    fn a_release_that_is_not_here_is_named_with_what_is() {
        let refused = find_postgres(Some((9, Path::new("/data/postgres")))).unwrap_err().to_string();
        assert!(refused.contains("was made by PostgreSQL 9"), "{refused}");
    }
}
