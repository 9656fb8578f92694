//! The file that an agent writes line by line, read on the disk, past everything that makima says about it.
//!
//! The file is held open, so that it can still be read after its workspace is removed: what the dead worker's agent
//! wrote last is known to the line.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// An open file.
#[derive(Debug)]
pub(crate) struct Journal(File);

impl Journal {
    /// Opens the file if the agent has made it.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => Ok(Some(Self(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Counts the whole lines.
    pub(crate) fn lines(&self) -> io::Result<usize> {
        let mut piece = [0; 8192];
        let (mut offset, mut lines) = (0, 0);
        loop {
            let count = self.0.read_at(&mut piece, offset)?;
            if count == 0 {
                return Ok(lines);
            }
            lines += piece[..count].iter().filter(|byte| **byte == b'\n').count();
            offset += count as u64;
        }
    }
}

/// Counts the lines that a git patch adds to a file.
pub(crate) fn lines_added_by(patch: &str, file: &str) -> usize {
    let header = format!("diff --git a/{file} b/{file}");
    let section = patch.lines().skip_while(|line| *line != header).skip(1);
    let section = section.take_while(|line| !line.starts_with("diff --git "));
    section.filter(|line| line.starts_with('+') && !line.starts_with("+++")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_read_even_after_its_removal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert!(Journal::open(&path).unwrap().is_none());
        std::fs::write(&path, "one\ntwo\nthr").unwrap();
        let journal = Journal::open(&path).unwrap().unwrap();
        drop(dir);
        assert_eq!(journal.lines().unwrap(), 2);
    }

    #[test]
    fn lines_of_one_file_of_a_patch_are_counted() {
        let patch = "diff --git a/x b/x\n+++ b/x\n@@ -0,0 +1 @@\n+other\ndiff --git a/f b/f\nnew file mode 100644\n\
                     --- /dev/null\n+++ b/f\n@@ -0,0 +1,2 @@\n+one\n+two\ndiff --git a/z b/z\n+not\n";
        assert_eq!(lines_added_by(patch, "f"), 2);
        assert_eq!(lines_added_by(patch, "absent"), 0);
    }
}
