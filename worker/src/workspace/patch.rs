//! Writes the work of an agent as a compressed git patch from the base commit's tree to a snapshot's tree.

use std::io::{Error, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use git2::{Delta, DiffDelta, DiffOptions, Oid};
use sha2::{Digest, Sha256};

use super::apply::{Directories, Hashed, Kind, Modes, Update, updated};
use super::patch_scan::PatchScan;
use super::{RestoreError, Workspace};
use crate::git::GitError;

/// git applies no patch from 1,023 MiB on (`MAX_APPLY_SIZE` in its `apply.c`).
const GIT_APPLY_LIMIT: u64 = 1023 << 20;

/// How large a patch may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatchLimits {
    /// As text, and as the sum of the binary files in it.
    pub unpacked_bytes: u64,
    /// Compressed.
    pub gzip_bytes: u64,
}

impl Default for PatchLimits {
    fn default() -> Self {
        Self { unpacked_bytes: 768 << 20, gzip_bytes: 128 << 20 }
    }
}

impl PatchLimits {
    /// Returns how large the text may be, given that git must be able to apply it.
    pub(super) fn text_bytes(&self) -> u64 {
        self.unpacked_bytes.min(GIT_APPLY_LIMIT - 1)
    }
}

/// The work of an agent.
#[derive(Debug, Clone)]
pub struct Patch {
    /// The patch, compressed. Empty work is an empty patch.
    pub gzip: Vec<u8>,
    /// SHA-256 of `gzip`.
    pub sha256: [u8; 32],
    /// Size of the patch before it was compressed.
    pub unpacked_bytes: u64,
    /// How many files differ from the base.
    pub files_changed: u64,
    /// How many lines of text were added.
    pub lines_added: u64,
    /// How many lines of text were removed.
    pub lines_removed: u64,
    /// The tree that the patch leads to, 40 hex digits: the one that it was made of, but for modes that no patch shows.
    pub tree_id: String,
}

/// Why no patch could be made.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// The work is larger than a checkpoint may be.
    #[error("the work is larger than a checkpoint may be: more than {bytes} bytes")]
    TooLarge {
        /// The limit that was passed.
        bytes: u64,
    },
    /// git could not compare the trees.
    #[error("the work could not be compared with its base")]
    Git(#[from] GitError),
    /// The worker's git directory could not be read, or an id is none.
    #[error("the snapshot could not be read")]
    Repository(#[from] git2::Error),
    /// What a restore will make of it could not be told.
    #[error("the tree of the patch could not be made")]
    Tree(#[from] RestoreError),
    /// The patch could not be compressed.
    #[error("the patch could not be compressed")]
    Compress(#[source] Error),
}

/// Writes what leads from the tree of the base commit to `tree_id`, a tree of [`super::snapshot()`].
pub fn make_patch(workspace: &Workspace, tree_id: &str, limits: PatchLimits) -> Result<Patch, PatchError> {
    let tree = Oid::from_str(tree_id)?;
    let mut sink = PatchSink::new(limits);
    let diff = workspace
        .host_command("diff-tree")?
        // It would read the worker's, and has no use for it.
        .index_file(&workspace.host_git().join("no.index"))
        .args(["-p", "-r", "--binary", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv"])
        .args([
            "--no-color",
            "--src-prefix=a/",
            "--dst-prefix=b/",
            "--submodule=short",
            "--ignore-submodules=none",
        ])
        .args([workspace.base_commit().as_str(), &tree.to_string()]);
    // git takes a while, on another processor.
    let (written, restored) = std::thread::scope(|scope| {
        let restored = scope.spawn(|| restored(workspace, tree));
        (diff.stream(&mut sink), restored.join())
    });
    if let Some(bytes) = sink.passed_limit {
        return Err(PatchError::TooLarge { bytes });
    }
    written?;
    let restored = restored.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    sink.finish(restored.to_string())
}

/// Returns the tree that a restore makes of the patch from the base to `tree`. It is `tree`, unless the base has modes that
/// only old programs wrote: git reads those as others, so that no patch shows which directories of `tree` still have them.
fn restored(workspace: &Workspace, tree: Oid) -> Result<Oid, PatchError> {
    let repository = workspace.host_repository()?;
    let base = repository.find_commit(workspace.base_commit)?.tree()?;
    let after = repository.find_tree(tree)?;
    let mut options = DiffOptions::new();
    options.include_typechange(true).skip_binary_check(true);
    let diff = repository.diff_tree_to_tree(Some(&base), Some(&after), Some(&mut options))?;
    let (mut of_base, mut of_tree) =
        (Directories::of(&repository, base.id())?, Directories::of(&repository, tree)?);
    let updates = diff.deltas().map(|delta| update(&delta, &mut of_base, &mut of_tree));
    let updates: Vec<_> = updates.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    if updates.is_empty() {
        return Ok(base.id());
    }
    let failed = |source| RestoreError::Write { path: String::new(), source };
    let hash = &mut |tree: &[u8]| {
        let mut hashed = Hashed::begin(Kind::Tree, tree.len() as u64);
        hashed.write_all(tree).and_then(|()| hashed.finish()).map_err(failed)
    };
    Ok(updated(&repository, base.id(), Modes::Plain, &updates, hash)?)
}

/// Returns what a patch shows of a difference between two trees; none if it shows nothing.
fn update(
    delta: &DiffDelta<'_>,
    before: &mut Directories<'_>,
    after: &mut Directories<'_>,
) -> Result<Option<Update>, git2::Error> {
    let path = delta.new_file().path_bytes().unwrap_or_default().to_vec();
    let before = if delta.status() == Delta::Added { None } else { before.find(&path)? };
    let entry = if delta.status() == Delta::Deleted { None } else { after.find(&path)? };
    Ok((before != entry).then_some(Update { path, was_there: before.is_some(), entry }))
}

struct PatchSink {
    limits: PatchLimits,
    gzip: GzEncoder<Vec<u8>>,
    scan: PatchScan,
    unpacked_bytes: u64,
    passed_limit: Option<u64>,
}

impl PatchSink {
    fn new(limits: PatchLimits) -> Self {
        let gzip = GzEncoder::new(Vec::new(), Compression::default());
        Self { limits, gzip, scan: PatchScan::default(), unpacked_bytes: 0, passed_limit: None }
    }

    fn check_limits(&mut self) -> std::io::Result<()> {
        let unpacked = self.unpacked_bytes.max(self.scan.binary_bytes);
        if unpacked > self.limits.text_bytes() {
            self.passed_limit = Some(self.limits.text_bytes());
        } else if self.gzip.get_ref().len() as u64 > self.limits.gzip_bytes {
            self.passed_limit = Some(self.limits.gzip_bytes);
        }
        if self.passed_limit.is_some() { Err(Error::other("the patch is too large")) } else { Ok(()) }
    }

    fn finish(mut self, tree_id: String) -> Result<Patch, PatchError> {
        self.scan.finish();
        let gzip = self.gzip.finish().map_err(PatchError::Compress)?;
        if gzip.len() as u64 > self.limits.gzip_bytes {
            return Err(PatchError::TooLarge { bytes: self.limits.gzip_bytes });
        }
        Ok(Patch {
            sha256: Sha256::digest(&gzip).into(),
            gzip,
            unpacked_bytes: self.unpacked_bytes,
            files_changed: self.scan.files_changed,
            lines_added: self.scan.lines_added,
            lines_removed: self.scan.lines_removed,
            tree_id,
        })
    }
}

impl Write for PatchSink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.unpacked_bytes += bytes.len() as u64;
        self.scan.push(bytes);
        self.check_limits()?;
        self.gzip.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
