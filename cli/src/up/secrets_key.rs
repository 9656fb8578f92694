//! The key that seals secrets on this machine: made once, and kept in the data directory for its owner alone.

use std::path::Path;

use anyhow::Context;
use makima_shared::config::ConfigSource;
use makima_shared::vault::Vault;

use crate::services::keep_private;

/// Where it lies in the data directory.
const FILE: &str = "secrets.key";

/// Returns the key that roles are to be given; none if the configuration has one already.
pub(super) fn of(data_dir: &Path, source: &ConfigSource) -> anyhow::Result<Option<String>> {
    if source.given("secrets.key").is_some_and(|(key, _origin)| !key.is_empty()) {
        return Ok(None);
    }
    let path = data_dir.join(FILE);
    let key = keep_private(&path, || format!("{}\n", *Vault::new_key()))?;
    Vault::parse(&key, None).with_context(|| format!("{} holds no key of secrets", path.display()))?;
    Ok(Some(key.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs::{metadata, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let source = ConfigSource::default();
        let key = of(directory.path(), &source).unwrap();
        assert!(key.is_some());
        let file = directory.path().join(FILE);
        assert_eq!(metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(of(directory.path(), &source).unwrap(), key);
        let given = source.clone().environment([("MAKIMA_SECRETS_KEY".to_owned(), "0f".repeat(32))]);
        assert_eq!(of(directory.path(), &given).unwrap(), None);
        write(&file, "broken").unwrap();
        assert!(of(directory.path(), &source).unwrap_err().to_string().contains("holds no key"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "broken");
    }
}
