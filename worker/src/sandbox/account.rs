//! The account that an agent finds itself under in a user namespace: one user, whoever the worker is.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The number of the user and of its group.
pub(super) const ID: &str = "1000";

const PASSWD: &str =
    "agent:x:1000:1000:agent:/nonexistent:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n";
const GROUP: &str = "agent:x:1000:\nnogroup:x:65534:\n";

/// Writes the files that name the account into the worker's directory; returns them with the names that agents see.
pub(super) fn write(data_dir: &Path) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    let directory = data_dir.join("sandbox");
    crate::private_dir::create_private(&directory)?;
    let mut files = Vec::new();
    for (name, content) in [("passwd", PASSWD), ("group", GROUP)] {
        let path = directory.join(name);
        if !fs::read(&path).is_ok_and(|found| found == content.as_bytes()) {
            // Other workers may share the directory, and their agents may read the file now.
            let mut file = tempfile::NamedTempFile::new_in(&directory)?;
            file.write_all(content.as_bytes())?;
            file.persist(&path)?;
        }
        files.push((Path::new("/etc").join(name), path));
    }
    Ok(files)
}
