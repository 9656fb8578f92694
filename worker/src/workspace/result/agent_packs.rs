//! Measures what is in an agent's packs: an object may be stored as a small change to a huge one, which then unfolds with
//! it. So all objects of a pack must be of a size that can be read, those that nobody asks for included.
//!
//! Left out: packs with an index that lies, as no git program writes them.

use git2::{Odb, Oid};

use super::super::tree_reader::{Listing, TreeReader};
use super::agent_commits::Unusable;
use super::agent_history::MAX_BLOB_BYTES;

const PACKS: &[u8] = b".git/objects/pack";
const MAX_INDEX_BYTES: u64 = 64 << 20;
/// How many objects an agent's packs may hold.
const MAX_OBJECTS: usize = 500_000;
/// `\377tOc` and version 2, as git's `gitformat-pack` describes it; then 256 counts, of which the last is the sum.
const HEADER: &[u8] = b"\xfftOc\x00\x00\x00\x02";
const COUNTS_BYTES: usize = 4 * 256;
const ID_BYTES: usize = 20;

/// Returns an error if any object of the agent's packs is larger than the worker would read.
pub(super) fn check_packs(objects: &Odb<'_>, reader: &mut TreeReader) -> Result<(), Unusable> {
    let names = match reader.list(PACKS) {
        Listing::Names(names) => names,
        Listing::Gone => return Ok(()),
        Listing::Unreadable(_) => return Err(Unusable::Objects),
    };
    let mut left = MAX_OBJECTS;
    for (name, _) in names.iter().filter(|(name, _)| name.ends_with(b".idx")) {
        let path = [PACKS, b"/", name].concat();
        let index = reader.read(&path, MAX_INDEX_BYTES).ok_or(Unusable::Objects)?;
        let ids = ids(&index).ok_or(Unusable::Objects)?;
        left = left.checked_sub(ids.len() / ID_BYTES).ok_or(Unusable::TooMany)?;
        for id in ids.chunks_exact(ID_BYTES) {
            let id = Oid::from_bytes(id)?;
            if objects.read_header(id)?.0 > MAX_BLOB_BYTES {
                return Err(Unusable::TooLarge(id));
            }
        }
    }
    Ok(())
}

/// Returns the ids that an index lists, one behind the other.
fn ids(index: &[u8]) -> Option<&[u8]> {
    let counts = index.strip_prefix(HEADER)?;
    let (counts, rest) = counts.split_at_checked(COUNTS_BYTES)?;
    let sum = u32::from_be_bytes(*counts.last_chunk()?);
    rest.get(..usize::try_from(sum).ok()?.checked_mul(ID_BYTES)?)
}
