//! The objects that a patch makes, as one pack: a file for each would take longer than all else.
//!
//! Nothing is compressed but what is large: a workspace lives for an attempt, and its disk holds these files anyway.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{BufWriter, Result, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use git2::Oid;
use sha1::{Digest, Sha1};
use tempfile::NamedTempFile;

use super::content::{Content, Spool};

/// More are refused: what is kept of each takes some fifty bytes.
pub(super) const MAX_OBJECTS: usize = 1 << 20;
/// From this offset on an index has them in a table of their own.
const LARGE_OFFSET: u64 = 1 << 31;

/// What kind of object something is, by its number in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::workspace) enum Kind {
    Tree = 2,
    Blob = 3,
}

/// Returns the id that git gives an object.
pub(super) fn id_of(kind: Kind, content: &mut Content) -> Result<Oid> {
    let mut hashed = Hashed::begin(kind, content.length());
    content.copy_to(&mut hashed)?;
    hashed.finish()
}

/// An object that is hashed piece by piece.
pub(in crate::workspace) struct Hashed(Sha1);

impl Hashed {
    pub(in crate::workspace) fn begin(kind: Kind, length: u64) -> Self {
        let name = match kind {
            Kind::Tree => "tree",
            Kind::Blob => "blob",
        };
        Self(Sha1::new_with_prefix(format!("{name} {length}\0")))
    }

    pub(in crate::workspace) fn finish(self) -> Result<Oid> {
        Oid::from_bytes(&self.0.finalize()).map_err(std::io::Error::other)
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Objects that are in no store yet.
pub(super) struct NewObjects {
    directory: PathBuf,
    /// The pack behind its header, which tells how many objects there are.
    body: Option<Spool>,
    /// By id, the checksum and the place of each.
    places: BTreeMap<Oid, (u32, u64)>,
}

impl NewObjects {
    /// Begins with none. They will be in the store at `objects`.
    pub(super) fn new(objects: &Path) -> Self {
        let directory = objects.join("pack");
        Self { body: None, places: BTreeMap::new(), directory }
    }

    pub(super) fn count(&self) -> usize {
        self.places.len()
    }

    /// Adds one, whose id it is.
    pub(super) fn add(&mut self, kind: Kind, id: Oid, content: &mut Content) -> Result<()> {
        if self.places.contains_key(&id) {
            return Ok(());
        }
        let body = self.body.get_or_insert_with(|| Spool::new(&self.directory));
        let place = body.length() + HEADER_BYTES;
        let mut entry = Summed { sink: body, sum: Crc::new() };
        entry.write_all(&entry_header(kind, content.length()))?;
        let level = if content.is_small() { Compression::none() } else { Compression::fast() };
        let mut folded = ZlibEncoder::new(&mut entry, level);
        content.copy_to(&mut folded)?;
        folded.finish()?;
        self.places.insert(id, (entry.sum.sum(), place));
        Ok(())
    }

    /// Puts them into the store.
    pub(super) fn keep(self) -> Result<()> {
        let Some(body) = self.body else { return Ok(()) };
        let mut pack = Signed::begin(&self.directory)?;
        pack.write_all(b"PACK\0\0\0\x02")?;
        pack.write_all(&count(self.places.len()).to_be_bytes())?;
        body.finish()?.copy_to(&mut pack)?;
        let (pack, signature) = pack.finish()?;
        let mut index = Signed::begin(&self.directory)?;
        write_index(&mut index, &self.places, &signature)?;
        let (index, _) = index.finish()?;
        let name: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = |extension| self.directory.join(format!("pack-{name}.{extension}"));
        // A pack counts once there is an index of it.
        pack.persist(path("pack")).map_err(|error| error.error)?;
        index.persist(path("idx")).map_err(|error| error.error)?;
        Ok(())
    }
}

const HEADER_BYTES: u64 = 12;

/// Says what comes: the kind and the length, the lowest four bits first and then seven a byte.
fn entry_header(kind: Kind, length: u64) -> Vec<u8> {
    let mut header = vec![(kind as u8) << 4 | low_bits(length, 4)];
    let mut rest = length >> 4;
    while rest > 0 {
        if let Some(last) = header.last_mut() {
            *last |= 0x80;
        }
        header.push(low_bits(rest, 7));
        rest >>= 7;
    }
    header
}

fn low_bits(value: u64, bits: u32) -> u8 {
    u8::try_from(value & ((1 << bits) - 1)).unwrap_or_default()
}

/// Writes an index of version 2 (git's `gitformat-pack`).
fn write_index(sink: &mut impl Write, places: &BTreeMap<Oid, (u32, u64)>, pack: &[u8]) -> Result<()> {
    sink.write_all(b"\xfftOc\0\0\0\x02")?;
    let mut counts = [0_u32; 256];
    places.keys().for_each(|id| counts[usize::from(id.as_bytes()[0])] += 1);
    let mut sum = 0;
    for of_byte in counts {
        sum += of_byte;
        sink.write_all(&sum.to_be_bytes())?;
    }
    places.keys().try_for_each(|id| sink.write_all(id.as_bytes()))?;
    places.values().try_for_each(|(checksum, _)| sink.write_all(&checksum.to_be_bytes()))?;
    let mut large = Vec::new();
    for (_, place) in places.values() {
        let short = u32::try_from(*place).ok().filter(|_| *place < LARGE_OFFSET);
        let short = short.unwrap_or_else(|| {
            large.push(*place);
            1 << 31 | count(large.len() - 1)
        });
        sink.write_all(&short.to_be_bytes())?;
    }
    large.iter().try_for_each(|place| sink.write_all(&place.to_be_bytes()))?;
    sink.write_all(pack)
}

/// There are fewer than [`MAX_OBJECTS`].
fn count(objects: usize) -> u32 {
    u32::try_from(objects).unwrap_or(u32::MAX)
}

/// Writes on, and sums up what it wrote.
struct Summed<'a> {
    sink: &'a mut Spool,
    sum: Crc,
}

impl Write for Summed<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.sum.update(bytes);
        self.sink.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A file that ends with its own SHA-1.
struct Signed {
    file: BufWriter<NamedTempFile>,
    sha1: Sha1,
}

impl Signed {
    fn begin(directory: &Path) -> Result<Self> {
        let file = tempfile::Builder::new()
            .prefix("tmp_pack_")
            .permissions(Permissions::from_mode(0o444))
            .tempfile_in(directory)?;
        Ok(Self { file: BufWriter::new(file), sha1: Sha1::new() })
    }

    fn finish(mut self) -> Result<(NamedTempFile, [u8; 20])> {
        let signature: [u8; 20] = self.sha1.finalize().into();
        self.file.write_all(&signature)?;
        Ok((self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?, signature))
    }
}

impl Write for Signed {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.sha1.update(bytes);
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }
}
