//! Measures what is in an agent's packs: an object may be stored as a small change to a huge one, which then unfolds with
//! it. So all objects of a pack must be of a size that can be read, those that nobody asks for included.
//!
//! Left out: packs with an index that lies, as no git program writes them.

use git2::{Odb, Oid};

use super::{MAX_BLOB_BYTES, Unusable};

/// `\377tOc` and version 2, as git's `gitformat-pack` describes it; then 256 counts, of which the last is the sum.
const HEADER: &[u8] = b"\xfftOc\x00\x00\x00\x02";
const COUNTS_BYTES: usize = 4 * 256;
const ID_BYTES: usize = 20;

/// Returns how many objects a pack has, by its `index`; an error if there are more than `max_objects`, or if any is larger
/// than the worker would read.
pub(super) fn check_pack(objects: &Odb<'_>, index: &[u8], max_objects: usize) -> Result<usize, Unusable> {
    let ids = ids(index).ok_or(Unusable::Objects)?;
    let count = ids.len() / ID_BYTES;
    if count > max_objects {
        return Err(Unusable::TooMany);
    }
    for id in ids.chunks_exact(ID_BYTES) {
        let id = Oid::from_bytes(id)?;
        if objects.read_header(id)?.0 > MAX_BLOB_BYTES {
            return Err(Unusable::TooLarge(id));
        }
    }
    Ok(count)
}

/// Returns the ids that an index lists, one behind the other.
fn ids(index: &[u8]) -> Option<&[u8]> {
    let counts = index.strip_prefix(HEADER)?;
    let (counts, rest) = counts.split_at_checked(COUNTS_BYTES)?;
    let sum = u32::from_be_bytes(*counts.last_chunk()?);
    rest.get(..usize::try_from(sum).ok()?.checked_mul(ID_BYTES)?)
}
