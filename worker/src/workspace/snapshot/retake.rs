//! Takes the files again that changed, and nothing else: without the index ([`super::unwritten`]).

use git2::build::TreeUpdateBuilder;
use git2::{IndexEntry, Oid, Repository};

use super::super::Workspace;
use super::super::tree_reader::TreeReader;
use super::last_look::Seen;
use super::stat_data::file_kind;
use super::store::{Store, Taken};
use super::unwritten::Unwritten;
use super::{Change, Skipped, Snapshot, SnapshotError, Taking, index_written, restored};

/// Takes a snapshot of the tree that `last` is of and in which these `files` changed. If one of them is no file any more, or
/// cannot be stored, the tree has to be looked at as a whole: all that is left of `last` then is what its index lacks.
pub(super) fn retake(
    workspace: &Workspace,
    reader: &mut TreeReader,
    last: Seen,
    files: &[Change],
) -> Result<Result<Seen, Unwritten>, SnapshotError> {
    let last = if last.unwritten().is_full() { write_index(workspace, last)? } else { last };
    let repository = workspace.host_repository()?;
    let mut store = Store::new(&repository, reader, &workspace.secrets)?;
    let mut entries = Vec::with_capacity(files.len());
    for path in files.iter().map(Change::path) {
        match store.store(path)? {
            // A link cannot change where it stands: it is another one.
            Taken::Entry(entry) if file_kind(&entry).is_some() => entries.push(entry),
            Taken::Entry(_)
            | Taken::Nothing
            | Taken::Special
            | Taken::Skipped(_)
            | Taken::Secret(_)
            | Taken::SecretInName(_) => return Ok(Err(last.into_unwritten())),
        }
    }
    let stored_bytes = store.stored_bytes();
    let before = Oid::from_str(&last.snapshot().tree_id)?;
    let tree = updated_tree(&repository, before, &entries)?;
    restored::note_taken(workspace, tree).map_err(SnapshotError::Store)?;
    let base_tree = repository.find_commit(workspace.base_commit)?.tree_id();
    let snapshot =
        Snapshot { tree_id: tree.to_string(), changed: tree != base_tree, skipped: Skipped::default() };
    Ok(Ok(last.with(entries, stored_bytes, snapshot)))
}

/// Writes the tree that `before` becomes by these files: only the directories on their way, where a whole index is read back
/// from the object store.
fn updated_tree(repository: &Repository, before: Oid, entries: &[IndexEntry]) -> Result<Oid, git2::Error> {
    let mut update = TreeUpdateBuilder::new();
    for entry in entries {
        if let Some(kind) = file_kind(entry) {
            update.upsert(entry.path.as_slice(), entry.id, kind);
        }
    }
    update.create_updated(repository, &repository.find_tree(before)?)
}

/// Writes the index, if the snapshots since have taken what it does not have.
fn write_index(workspace: &Workspace, last: Seen) -> Result<Seen, SnapshotError> {
    if last.unwritten().is_empty() {
        return Ok(last);
    }
    let reader = TreeReader::open(&workspace.tree()).map_err(SnapshotError::TreeGone)?;
    let mut taking = Taking::begin(workspace, reader)?;
    taking.enter(last.unwritten())?;
    taking.write_index(workspace, Oid::from_str(&last.snapshot().tree_id)?)?;
    Ok(last.once_written(index_written(workspace)?))
}

#[cfg(test)]
mod tests {
    use makima_shared::domain::SecretValue;

    use super::super::scene::Scene;
    use super::*;
    use crate::secrets::{Secret, Secrets};
    use crate::workspace::snapshot;

    /// What a look at everything makes of the tree, by the index as it is written.
    fn as_if_first(workspace: &Workspace) -> Snapshot {
        snapshot(&workspace.clone().keeping(&[])).unwrap()
    }

    fn content(workspace: &Workspace, snapshot: &Snapshot, path: &str) -> Vec<u8> {
        let repository = workspace.host_repository().unwrap();
        let tree = repository.find_tree(snapshot.tree_id.parse().unwrap()).unwrap();
        let entry = tree.get_path(path.as_ref()).unwrap();
        repository.find_blob(entry.id()).unwrap().content().to_vec()
    }

    #[test]
    fn index_lags_behind_also_where_the_tree_is_quiet() {
        let scene = Scene::new();
        let fresh = index_written(&scene.workspace).unwrap();
        for content in ["2", "", "three"] {
            std::fs::write(scene.at("a/b/two"), content).unwrap();
            std::fs::write(scene.at("three"), content).unwrap();
            assert_eq!(scene.files(), [&b"a/b/two"[..], b"three"]);
            let taken = snapshot(&scene.workspace).unwrap();
            assert_eq!(self::content(&scene.workspace, &taken, "a/b/two"), content.as_bytes());
            assert!(index_written(&scene.workspace).unwrap() == fresh);
        }
        scene.rest();
        let taken = snapshot(&scene.workspace).unwrap();
        assert!(index_written(&scene.workspace).unwrap() == fresh);
        assert_eq!(as_if_first(&scene.workspace), taken);
        assert!(index_written(&scene.workspace).unwrap() != fresh, "a look at everything writes it");
    }

    #[test]
    fn an_index_that_lags_behind_tells_nothing_wrong() {
        let scene = Scene::new();
        std::fs::write(scene.at("a/one"), "one").unwrap();
        let taken = snapshot(&scene.workspace).unwrap();
        // As after a crash: nobody remembers what was taken.
        assert_eq!(as_if_first(&scene.workspace), taken);
        // And the index is another now than the one that is remembered.
        std::fs::write(scene.at("three"), "3 and more").unwrap();
        let taken = snapshot(&scene.workspace).unwrap();
        assert_eq!(content(&scene.workspace, &taken, "a/one"), b"one");
        assert_eq!(content(&scene.workspace, &taken, "three"), b"3 and more");
        assert_eq!(as_if_first(&scene.workspace), taken);
    }

    /// A tree that must not hold "a-secret-of-some-length".
    fn guarded_scene() -> Scene {
        let mut scene = Scene::new();
        let value = SecretValue::parse("a-secret-of-some-length".to_owned()).unwrap();
        let secret = Secret { env: "TOKEN".to_owned(), name: "TOKEN".to_owned(), value };
        scene.workspace = scene.workspace.clone().guarding(Secrets::new(vec![secret]).unwrap());
        scene.rest();
        scene
    }

    #[test]
    fn what_the_index_lacks_is_in_the_snapshot_of_a_whole_scan() {
        let scene = guarded_scene();
        std::fs::write(scene.at("three"), "before").unwrap();
        snapshot(&scene.workspace).unwrap();
        std::fs::write(scene.at("three"), "a-secret-of-some-length").unwrap();
        std::fs::write(scene.at("a/new"), "new").unwrap();
        let taken = snapshot(&scene.workspace).unwrap();
        assert_eq!(taken.skipped.with_secrets.len(), 1);
        assert_eq!(content(&scene.workspace, &taken, "three"), b"before");
        assert_eq!(content(&scene.workspace, &taken, "a/new"), b"new");
    }

    #[test]
    fn what_cannot_be_stored_after_a_crash_stays_as_it_was_taken_before() {
        let scene = guarded_scene();
        std::fs::write(scene.at("three"), "before").unwrap();
        std::fs::write(scene.at("a/one"), "one").unwrap();
        snapshot(&scene.workspace).unwrap();
        std::fs::write(scene.at("three"), "a-secret-of-some-length").unwrap();
        std::fs::write(scene.at("a/one"), "and more").unwrap();
        let taken = as_if_first(&scene.workspace);
        assert_eq!(content(&scene.workspace, &taken, "three"), b"before");
        assert_eq!(content(&scene.workspace, &taken, "a/one"), b"and more");
    }

    #[test]
    fn index_is_written_once_much_is_stored() {
        let scene = Scene::new();
        let fresh = index_written(&scene.workspace).unwrap();
        std::fs::write(scene.at("three"), vec![b'3'; 17 << 20]).unwrap();
        snapshot(&scene.workspace).unwrap();
        assert!(index_written(&scene.workspace).unwrap() == fresh);
        std::fs::write(scene.at("a/one"), "one").unwrap();
        let taken = snapshot(&scene.workspace).unwrap();
        assert!(index_written(&scene.workspace).unwrap() != fresh);
        assert_eq!(as_if_first(&scene.workspace), taken);
    }
}
