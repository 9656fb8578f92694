//! The agent's home: finds and reads the file of its conversation, and puts one there before the agent starts.
//!
//! What lies there is the agent's: no link is followed, and what is read and listed is bounded.

use std::io::Write as _;
use std::path::Path;

use super::tree_reader::{Kind, Listing, TreeReader};
use super::tree_writer::TreeWriter;

/// How many names are looked at in search of a conversation.
const MAX_NAMES: usize = 2000;

/// A file in the agent's home.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HomeFile {
    /// Its path below the directory that was searched.
    pub(crate) path: String,
    /// Its whole lines; what is being written behind them is left out.
    pub(crate) content: Vec<u8>,
}

/// Reads the newest file, `depth` levels below `directory` of the home, whose name `is_one` knows; none if there is none, or
/// if it is larger than `limit_bytes`.
pub(crate) fn newest_file(
    home: &Path,
    directory: &str,
    depth: usize,
    is_one: impl Fn(&str) -> bool,
    limit_bytes: u64,
) -> Option<HomeFile> {
    let mut reader = TreeReader::open(home).ok()?;
    let (mut newest, mut left) = (None, MAX_NAMES);
    let mut open = vec![(directory.to_owned(), depth)];
    while let Some((above, depth)) = open.pop() {
        let Listing::Names { names, .. } = reader.list(above.as_bytes()) else { continue };
        for (name, stat) in names {
            left = left.checked_sub(1)?;
            let Ok(name) = String::from_utf8(name) else { continue };
            let path = format!("{above}/{name}");
            match Kind::of(&stat) {
                Kind::Directory if depth > 1 => open.push((path, depth - 1)),
                Kind::File if depth == 1 && is_one(&name) => {
                    let age = (stat.st_mtime, stat.st_mtime_nsec);
                    if newest.as_ref().is_none_or(|(newest, _)| age > *newest) {
                        newest = Some((age, path));
                    }
                }
                Kind::File | Kind::Directory | Kind::Link | Kind::Special => {}
            }
        }
    }
    let (_age, path) = newest?;
    let mut content = reader.read(path.as_bytes(), limit_bytes)?;
    content.truncate(content.iter().rposition(|byte| *byte == b'\n')? + 1);
    let path = path.strip_prefix(directory)?.trim_start_matches('/').to_owned();
    Some(HomeFile { path, content })
}

/// Writes a file below `directory` of the home, in place of what stands at its path. No agent runs.
pub(crate) fn write_file(home: &Path, directory: &str, path: &str, content: &[u8]) -> std::io::Result<()> {
    let writer = TreeWriter::open(home)?;
    let path = format!("{directory}/{path}");
    writer.remove(path.as_bytes())?;
    writer.file(path.as_bytes(), false)?.write_all(content)
}

/// Removes the files right in `directory` of the home whose names `is_one` knows. No agent runs.
pub(crate) fn remove_files(
    home: &Path,
    directory: &str,
    is_one: impl Fn(&str) -> bool,
) -> std::io::Result<()> {
    let listing = TreeReader::open(home)?.list(directory.as_bytes());
    let Listing::Names { names, .. } = listing else { return Ok(()) };
    let writer = TreeWriter::open(home)?;
    for (name, stat) in names {
        if std::str::from_utf8(&name).is_ok_and(&is_one) && Kind::of(&stat) != Kind::Directory {
            writer.remove(&[directory.as_bytes(), b"/", &name].concat())?;
        }
    }
    Ok(())
}

/// Makes a directory of the home, if there is none. No agent runs.
pub(crate) fn make_directory(home: &Path, name: &str) -> std::io::Result<()> {
    Ok(TreeWriter::open(home)?.directory(name.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn find(home: &Path) -> Option<HomeFile> {
        newest_file(home, ".c/projects", 2, |name| name.ends_with(".jsonl"), 100)
    }

    #[test]
    fn a_directory_is_made_once_and_through_no_link() {
        let (home, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        make_directory(home.path(), ".c").unwrap();
        make_directory(home.path(), ".c").unwrap();
        assert!(home.path().join(".c").is_dir());
        symlink(elsewhere.path(), home.path().join(".d")).unwrap();
        let _ = make_directory(home.path(), ".d/inside");
        assert!(!elsewhere.path().join("inside").exists());
    }

    #[test]
    fn what_is_written_is_found_in_whole_lines() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(find(home.path()), None);
        write_file(home.path(), ".c/projects", "p/a.jsonl", b"one\ntwo\nthr").unwrap();
        write_file(home.path(), ".c/projects", "deep.jsonl", b"not deep enough\n").unwrap();
        let found = find(home.path()).unwrap();
        assert_eq!(found, HomeFile { path: "p/a.jsonl".to_owned(), content: b"one\ntwo\n".to_vec() });
        write_file(home.path(), ".c/projects", "p/a.jsonl", b"anew\n").unwrap();
        assert_eq!(find(home.path()).unwrap().content, b"anew\n");
        write_file(home.path(), ".c/projects", "p/a.jsonl", &[b'x'; 101]).unwrap();
        assert_eq!(find(home.path()), None, "over the limit");
    }

    #[test]
    fn files_are_removed_by_their_names_and_links_without_what_they_lead_to() {
        let (home, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let is_one = |name: &str| name.starts_with("state");
        remove_files(home.path(), ".c", is_one).unwrap();
        std::fs::create_dir_all(home.path().join(".c/state-directory")).unwrap();
        for path in [".c/state.sqlite", ".c/settings", ".c/state-directory/state"] {
            std::fs::write(home.path().join(path), "x").unwrap();
        }
        std::fs::write(elsewhere.path().join("state"), "x").unwrap();
        symlink(elsewhere.path().join("state"), home.path().join(".c/state-link")).unwrap();
        symlink(elsewhere.path(), home.path().join(".d")).unwrap();
        remove_files(home.path(), ".c", is_one).unwrap();
        let _ = remove_files(home.path(), ".d", is_one);
        let mut left: Vec<_> = std::fs::read_dir(home.path().join(".c"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["settings", "state-directory"]);
        assert!(home.path().join(".c/state-directory/state").exists());
        assert!(elsewhere.path().join("state").exists());
    }

    #[test]
    fn no_link_is_followed_and_no_path_leads_out() {
        let (home, secret) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(secret.path().join("a.jsonl"), "secret\n").unwrap();
        std::fs::create_dir_all(home.path().join(".c/projects/p")).unwrap();
        symlink(secret.path(), home.path().join(".c/projects/q")).unwrap();
        symlink(secret.path().join("a.jsonl"), home.path().join(".c/projects/p/b.jsonl")).unwrap();
        assert_eq!(find(home.path()), None);
        for path in ["../../../x", "/etc/x", "q/a.jsonl", ""] {
            assert!(write_file(home.path(), ".c/projects", path, b"x").is_err(), "{path}");
        }
        assert_eq!(std::fs::read(secret.path().join("a.jsonl")).unwrap(), b"secret\n");
    }
}
