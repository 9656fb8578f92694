//! Where the history in a copy ends, as git writes it: the file `shallow` names the commits whose parents are not there.
//!
//! Invariant: every commit of a settled copy whose parents it lacks stands in that file. git brings the objects before the
//! file, so a copy is unsettled for as long as a fetch runs, and after one that was killed: the file [`UNSETTLED`] says so.
//!
//! A commit stands there no longer than its parents are missing. git itself would cut, at every fetch, what an earlier one
//! brought; so what a copy shows of a history only ever grows.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

use git2::{ObjectType, Odb, Oid, Repository, RepositoryOpenFlags};

/// What git calls the file.
const SHALLOW: &str = "shallow";
/// Names the packs that were there before the fetch that is under way.
const UNSETTLED: &str = "fetching";

/// Returns the file of a git directory; none if its history is whole.
pub(crate) fn read(git_dir: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(git_dir.join(SHALLOW)) {
        Ok(ends) if ends.is_empty() => Ok(None),
        Ok(ends) => Ok(Some(ends)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives a git directory such a file, or takes it away. Nobody sees a half of it.
pub(crate) fn write(git_dir: &Path, ends: Option<&[u8]>) -> Result<()> {
    let file = git_dir.join(SHALLOW);
    let Some(ends) = ends else {
        return match fs::remove_file(file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    };
    let new = git_dir.join("shallow.new");
    fs::write(&new, ends)?;
    fs::rename(new, file)
}

/// Returns the commits at which a history ends.
pub(crate) fn ends(git_dir: &Path) -> Result<BTreeSet<Oid>> {
    let content = read(git_dir)?.unwrap_or_default();
    let ids = content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    ids.map(|line| {
        std::str::from_utf8(line)
            .ok()
            .and_then(|line| Oid::from_str(line).ok())
            .ok_or_else(|| Error::new(ErrorKind::InvalidData, "the file `shallow` holds what is no commit"))
    })
    .collect()
}

/// Opens a git directory in process, and no work tree. `open_bare` would not look where its history ends.
pub(crate) fn open(git_dir: &Path) -> std::result::Result<Repository, git2::Error> {
    let flags = RepositoryOpenFlags::BARE | RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::NO_DOTGIT;
    match Repository::open_ext(git_dir, flags, std::iter::empty::<&Path>()) {
        // On a file system that gives everything to somebody else.
        Err(error) if error.code() == git2::ErrorCode::Owner => Repository::open_bare(git_dir),
        opened => opened,
    }
}

/// Returns those of `ends` at which the history of `tip` ends.
pub(crate) fn ends_of(
    repository: &Repository,
    tip: Oid,
    ends: &BTreeSet<Oid>,
) -> std::result::Result<BTreeSet<Oid>, git2::Error> {
    let mut walk = repository.revwalk()?;
    walk.push(tip)?;
    let mut found = BTreeSet::new();
    for commit in walk {
        let commit = commit?;
        if ends.contains(&commit) {
            found.insert(commit);
        }
    }
    Ok(found)
}

/// Tells whether the copy at `git_dir` has all that belongs to the commits in it.
pub(super) fn is_settled(git_dir: &Path) -> bool {
    !git_dir.join(UNSETTLED).exists()
}

/// Notes that a fetch begins that may bring a part of a history.
pub(super) fn unsettle(git_dir: &Path) -> Result<()> {
    fs::write(git_dir.join(UNSETTLED), packs(git_dir)?)
}

/// Brings the copy in order once the fetch has ended, well or not.
pub(super) fn settle(git_dir: &Path) -> Result<()> {
    let repository = Repository::open_bare(git_dir).map_err(Error::other)?;
    let odb = repository.odb().map_err(Error::other)?;
    let before = ends(git_dir)?;
    let mut after = BTreeSet::new();
    for end in &before {
        // One that is not here is of a fetch that broke off, and git minds it no more than we do.
        if odb.exists(*end) && lacks_parents(&odb, *end)? {
            after.insert(*end);
        }
    }
    if before != after {
        write_ends(git_dir, &after)?;
    }
    if !after.is_empty() {
        // Before the mark goes: a disk that loses the one shall not have lost the other.
        fs::File::open(git_dir.join(SHALLOW))?.sync_all()?;
    }
    fs::remove_file(git_dir.join(UNSETTLED))
}

/// Brings a copy in order whose fetch was killed. Nobody fetches.
pub(super) fn mend(git_dir: &Path) -> Result<()> {
    for entry in fs::read_dir(git_dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        // `shallow.lock`, which would keep every later fetch out, and `shallow_XXXXXX`.
        if name.starts_with(b"shallow") && name != SHALLOW.as_bytes() {
            fs::remove_file(path)?;
        }
    }
    match fs::read(git_dir.join(UNSETTLED)) {
        Ok(before) if before == packs(git_dir)?.as_bytes() => settle(git_dir),
        Ok(_) => {
            add_missing_ends(git_dir)?;
            settle(git_dir)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Looks through all commits of a copy for those whose parents are not there.
fn add_missing_ends(git_dir: &Path) -> Result<()> {
    let repository = Repository::open_bare(git_dir).map_err(Error::other)?;
    let odb = repository.odb().map_err(Error::other)?;
    let mut ids = Vec::new();
    odb.foreach(|id| {
        ids.push(*id);
        true
    })
    .map_err(Error::other)?;
    let mut found = ends(git_dir)?;
    for id in ids {
        let (_, kind) = odb.read_header(id).map_err(Error::other)?;
        if kind == ObjectType::Commit && lacks_parents(&odb, id)? {
            found.insert(id);
        }
    }
    write_ends(git_dir, &found)
}

fn write_ends(git_dir: &Path, ends: &BTreeSet<Oid>) -> Result<()> {
    let content: String = ends.iter().map(|end| format!("{end}\n")).collect();
    write(git_dir, (!ends.is_empty()).then_some(content.as_bytes()))
}

/// Reads the commit as it is stored: libgit2 hides the parents of one that stands in the file.
fn lacks_parents(odb: &Odb<'_>, commit: Oid) -> Result<bool> {
    let object = odb.read(commit).map_err(Error::other)?;
    let lines = object.data().split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
    let mut parents = lines
        .filter_map(|line| line.strip_prefix(b"parent "))
        .filter_map(|id| Oid::from_str(std::str::from_utf8(id).ok()?).ok());
    Ok(parents.any(|parent| !odb.exists(parent)))
}

/// Lists the packs of a copy.
fn packs(git_dir: &Path) -> Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(super::objects_dir(git_dir).join("pack"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".idx") {
            names.push(name + "\n");
        }
    }
    names.sort_unstable();
    Ok(names.concat())
}
