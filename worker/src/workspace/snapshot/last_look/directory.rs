//! A directory as it was seen, laid out so that comparing it reads memory from one end to the other.

use std::cmp::Ordering;
use std::ffi::CStr;

use super::super::super::tree_reader::TreeReader;
use super::super::Change;
use super::super::stat_data::{FileStamp, Stamp};

pub(super) struct Directory {
    path: Vec<u8>,
    stamp: Stamp,
    /// The names of the files directly in it, each with a zero behind it.
    names: Vec<u8>,
    /// In the order of the names, each with where its name ends.
    files: Vec<(usize, FileStamp)>,
}

impl Directory {
    pub(super) fn new(path: Vec<u8>, stamp: Stamp) -> Self {
        Self { path, stamp, names: Vec::new(), files: Vec::new() }
    }

    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    /// Returns how many files are in it.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    pub(super) fn add(&mut self, name: &[u8], stamp: FileStamp) {
        self.names.extend_from_slice(name);
        self.names.push(0);
        self.files.push((self.names.len(), stamp));
    }

    /// Notes that a file was read again.
    pub(super) fn replace(&mut self, name: &[u8], stamp: FileStamp) {
        let (mut low, mut high) = (0, self.files.len());
        while low < high {
            let middle = low.midpoint(high);
            let begin = middle.checked_sub(1).map_or(0, |before| self.files[before].0);
            match self.names[begin..self.files[middle].0 - 1].cmp(name) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => {
                    self.files[middle].1 = stamp;
                    return;
                }
            }
        }
    }

    /// Adds the files to `changed` that may have changed; tells whether they are all that did.
    pub(super) fn look(&self, reader: &mut TreeReader, changed: &mut Vec<Change>) -> bool {
        let Ok(handle) = reader.directory(&self.path) else { return false };
        if !TreeReader::stat_handle(&handle).is_ok_and(|stat| self.stamp.is_of(&stat)) {
            return false;
        }
        let mut begin = 0;
        for (end, stamp) in &self.files {
            let name = &self.names[begin..*end];
            begin = *end;
            let Ok(name) = CStr::from_bytes_with_nul(name) else { return false };
            if !TreeReader::stat_in(&handle, name).is_ok_and(|stat| FileStamp::of(&stat) == *stamp) {
                changed.push(Change::Take(self.path_to(name.to_bytes())));
            }
        }
        true
    }

    fn path_to(&self, name: &[u8]) -> Vec<u8> {
        if self.path.is_empty() { name.to_vec() } else { [&self.path, name].join(&b'/') }
    }
}
