//! The passwords of the private servers, random and kept in a file that only its owner reads.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use rand::Rng;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};

use super::data_dir::DataDir;
use super::error::ServicesError;
use super::owned::{open_file, require_ours};

/// 32 letters and digits: 190 bits.
const PASSWORD_LENGTH: usize = 32;
const FILE_MAX_BYTES: u64 = 4 << 10;

/// The passwords of both servers. Has no `Debug` on purpose.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Secrets {
    pub(super) postgres_password: String,
    pub(super) redis_password: String,
}

impl Secrets {
    /// Reads the directory's passwords, or makes them where there is no cluster yet that would need the old ones.
    pub(super) fn of(data_dir: &DataDir) -> Result<Self, ServicesError> {
        let path = data_dir.secrets();
        if let Some(secrets) = Self::read(&path) {
            return Ok(secrets);
        }
        if data_dir.cluster().exists() {
            return Err(ServicesError::SecretsLost { secrets: path, cluster: data_dir.cluster() });
        }
        let secrets = Self { postgres_password: password(), redis_password: password() };
        secrets.write(&path)?;
        Ok(secrets)
    }

    /// Reads a file of passwords; none if it is missing, broken or not ours.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let file = open_file(File::options().read(true), path).ok()?;
        require_ours(&file).ok()?;
        serde_json::from_reader(file.take(FILE_MAX_BYTES)).ok()
    }

    /// Writes the file, all of it or nothing.
    pub(super) fn write(&self, path: &Path) -> Result<(), ServicesError> {
        let unfinished = path.with_extension("new");
        let text = serde_json::json!(self).to_string();
        write_private(&unfinished, &text)?;
        fs::rename(&unfinished, path).map_err(ServicesError::io("write", path))
    }
}

/// Writes a file anew that only its owner may read, and waits until it is on the disk. It has to lie in a directory
/// that nobody else can change; the handle is for giving it away.
pub(super) fn write_private(path: &Path, text: &str) -> Result<File, ServicesError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(ServicesError::Io { action: "replace", path: path.to_owned(), source });
        }
        Ok(()) | Err(_) => {}
    }
    let write = || {
        let mut file = open_file(File::options().create_new(true).write(true), path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(file)
    };
    write().map_err(ServicesError::io("write", path))
}

/// Reads a short file of ours, or makes it with what `make` returns, for its owner alone. What is there and cannot be
/// read is left as it is. It has to lie in a directory that nobody else can change.
pub(crate) fn keep_private(path: &Path, make: impl FnOnce() -> String) -> Result<String, ServicesError> {
    let read = || {
        let file = open_file(File::options().read(true), path)?;
        require_ours(&file)?;
        let mut text = String::new();
        file.take(FILE_MAX_BYTES).read_to_string(&mut text).map(|_bytes| text)
    };
    match read() {
        Err(failed) if failed.kind() == io::ErrorKind::NotFound => {
            let (text, unfinished) = (make(), path.with_extension("new"));
            write_private(&unfinished, &text)?;
            fs::rename(&unfinished, path).map_err(ServicesError::io("write", path))?;
            Ok(text)
        }
        read => read.map_err(ServicesError::io("read", path)),
    }
}

fn password() -> String {
    rand::rng().sample_iter(Alphanumeric).take(PASSWORD_LENGTH).map(char::from).collect()
}
