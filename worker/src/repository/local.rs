//! Which addresses are paths of this machine, and which of those lead into a worker's own directories.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// What git appends to a path when it looks for the repository there (`enter_repo` in its `path.c`).
const SUFFIXES: [&str; 4] = ["", "/.git", ".git", ".git/.git"];
/// How much of a file is read that may say where the repository is.
const MAX_GIT_FILE_BYTES: u64 = 8 << 10;

/// Returns the path of a repository of this machine, by the rules of git's `connect.c`; none for any other address.
pub(super) fn path_of(url: &str) -> Option<PathBuf> {
    if let Some(rest) = url.strip_prefix("file://") {
        let path = if rest.starts_with('/') { rest.to_owned() } else { format!("//{rest}") };
        return Some(PathBuf::from(OsString::from_vec(decoded(&path))));
    }
    let is_local = !url.contains("://")
        && match (url.find(':'), url.find('/')) {
            (Some(colon), Some(slash)) => slash < colon,
            (Some(_), None) => false,
            (None, _) => true,
        };
    is_local.then(|| PathBuf::from(url))
}

/// Tells whether the repository at `path` lies below `data_dir` or in a workspace of any worker, links followed.
pub(super) fn is_of_a_worker(path: &Path, data_dir: &Path) -> bool {
    let data_dir = data_dir.canonicalize().or_else(|_| std::path::absolute(data_dir));
    let is_inside = |real: &Path| {
        data_dir.as_ref().is_ok_and(|data_dir| real.starts_with(data_dir))
            || real.ancestors().any(is_workspace)
    };
    SUFFIXES.iter().any(|suffix| {
        let mut candidate = path.as_os_str().to_owned();
        candidate.push(suffix);
        let Ok(real) = Path::new(&candidate).canonicalize() else { return false };
        is_inside(&real) || pointed_at(&real).is_some_and(|target| is_inside(&target))
    })
}

fn is_workspace(directory: &Path) -> bool {
    directory.join("host.git").is_dir() && directory.join("tree").is_dir()
}

/// Returns where a `.git` file leads.
fn pointed_at(file: &Path) -> Option<PathBuf> {
    if !file.symlink_metadata().ok()?.is_file() {
        return None;
    }
    let mut content = Vec::new();
    std::fs::File::open(file).ok()?.take(MAX_GIT_FILE_BYTES).read_to_end(&mut content).ok()?;
    let target = content.strip_prefix(b"gitdir: ")?.trim_ascii_end().to_vec();
    file.parent()?.join(OsString::from_vec(target)).canonicalize().ok()
}

/// Undoes the `%41` of a URL.
fn decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let byte = after
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_addresses_elsewhere() {
        let path = |url| path_of(url).map(|path| path.display().to_string());
        assert_eq!(path("/srv/a.git").as_deref(), Some("/srv/a.git"));
        assert_eq!(path("/srv/a:b").as_deref(), Some("/srv/a:b"));
        assert_eq!(path("file:///srv/%61%2Fb%zz").as_deref(), Some("/srv/a/b%zz"));
        for elsewhere in ["https://host/a", "ssh://git@host/a", "git@host:a/b", "host:a"] {
            assert_eq!(path(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn directories_of_workers_are_found_behind_links_and_git_files() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for directory in
            ["data/tasks/tree/.git", "other/w/host.git", "other/w/tree/sub", "free/repo", "suffixed"]
        {
            std::fs::create_dir_all(at(directory)).unwrap();
        }
        std::os::unix::fs::symlink(at("data/tasks/tree"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("data/tasks/tree"), at("suffixed/x.git")).unwrap();
        std::fs::create_dir(at("pointer")).unwrap();
        std::fs::write(at("pointer/.git"), "gitdir: ../data/tasks/tree/.git\n").unwrap();
        let refused = |path: &str| is_of_a_worker(&at(path), &at("data"));
        for path in
            ["data", "data/tasks/tree", "link", "pointer", "suffixed/x", "other/w/tree/sub", "free/../link"]
        {
            assert!(refused(path), "{path}");
        }
        for path in ["free/repo", "other", "none", "data-too"] {
            assert!(!refused(path), "{path}");
        }
    }
}
