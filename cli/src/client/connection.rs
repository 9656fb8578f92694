//! Which API to talk to, and with which key.
//!
//! Flags win over the environment, that over a client file. A key from a file goes only to the address in that file, or
//! to the same address given otherwise: naming another server must not send it there.

use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Client, ClientError};
use crate::directories;

/// Flags of every client command.
#[derive(Args, Clone)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ClientArgs {
    #[arg(
        long,
        value_name = "URL",
        help = "The address of the API, such as http://127.0.0.1:7420 [env: MAKIMA_URL]"
    )]
    url: Option<String>,

    #[arg(long, value_name = "KEY", help = "The key to show it [env: MAKIMA_API_KEY]")]
    api_key: Option<String>,

    #[arg(
        long,
        value_name = "FILE",
        help = "A file with both, as `makima up` writes it (default: the one in up's default data directory) \
                [env: MAKIMA_CLIENT_FILE]"
    )]
    client: Option<PathBuf>,

    /// Print the API's JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// Leaves out the key, and the URL with it, which may hold a password.
impl fmt::Debug for ClientArgs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, api_key: _, client, json } = self;
        formatter
            .debug_struct("ClientArgs")
            .field("client", client)
            .field("json", json)
            .finish_non_exhaustive()
    }
}

/// The content of `client.json`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClientFile {
    pub(crate) url: String,
    pub(crate) api_key: String,
}

/// Leaves out the key, and the URL with it, which may hold a password.
impl fmt::Debug for ClientFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientFile").finish_non_exhaustive()
    }
}

impl ClientFile {
    /// Reads a file that has to be there.
    pub(crate) fn read(path: &Path) -> Result<Self, ClientError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ClientError::FileUnreadable { path: path.to_owned(), source })?;
        serde_json::from_str(&text)
            .map_err(|source| ClientError::FileMalformed { path: path.to_owned(), source })
    }

    /// Writes the file whole or not at all, readable by this user alone.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let directory = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }
}

/// What was given where.
#[derive(Default)]
struct Given {
    url: Option<String>,
    api_key: Option<String>,
    /// A file that somebody named, which has to be there.
    named_file: Option<PathBuf>,
    /// A file that may be there.
    default_file: Option<PathBuf>,
}

impl ClientArgs {
    /// Finds the API and the key.
    pub(crate) fn connect(&self) -> Result<Client, ClientError> {
        let file = self.given().resolve()?;
        Client::new(&file.url, &file.api_key)
    }

    fn given(&self) -> Given {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        // A file named by a flag stands above the environment, as flags do.
        let environment = self.client.is_none();
        Given {
            url: self.url.clone().or_else(|| variable("MAKIMA_URL").filter(|_| environment)),
            api_key: self.api_key.clone().or_else(|| variable("MAKIMA_API_KEY").filter(|_| environment)),
            named_file: self.client.clone().or_else(|| variable("MAKIMA_CLIENT_FILE").map(PathBuf::from)),
            default_file: directories::default_client_file(),
        }
    }
}

impl Given {
    fn resolve(self) -> Result<ClientFile, ClientError> {
        if let (Some(url), Some(api_key)) = (&self.url, &self.api_key) {
            return Ok(ClientFile { url: url.clone(), api_key: api_key.clone() });
        }
        let file = match (self.named_file, self.default_file) {
            (Some(path), _) => Some(ClientFile::read(&path)?),
            (None, Some(path)) if path.exists() => Some(ClientFile::read(&path)?),
            (None, _) => None,
        };
        match (self.url, self.api_key, file) {
            (None, key, Some(file)) => Ok(ClientFile { api_key: key.unwrap_or(file.api_key), ..file }),
            (Some(url), None, Some(file)) if same_address(&url, &file.url) => Ok(file),
            (Some(url), None, _) => Err(ClientError::NoKey { url }),
            (Some(url), Some(api_key), _) => Ok(ClientFile { url, api_key }),
            (None, _, None) => Err(ClientError::NotConfigured),
        }
    }
}

fn same_address(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(url: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.json");
        ClientFile { url: url.to_owned(), api_key: "mk_file".to_owned() }.write(&path).unwrap();
        (dir, path)
    }

    #[test]
    fn what_is_written_for_debugging_holds_no_secret() {
        let url = Some("http://user:hunter2@one:1".to_owned());
        let args = ClientArgs { url, api_key: Some("mk_hunter2".to_owned()), client: None, json: true };
        let (_dir, path) = file_of("http://user:hunter2@one:1");
        let file = ClientFile::read(&path).unwrap();
        assert_eq!(
            format!("{args:?} {file:?}"),
            "ClientArgs { client: None, json: true, .. } ClientFile { .. }"
        );
    }

    #[test]
    fn a_client_file_is_private_and_read_back() {
        let (_dir, path) = file_of("http://one:1");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let given = Given { default_file: Some(path), ..Given::default() };
        assert_eq!(given.resolve().unwrap().api_key, "mk_file");
    }

    #[test]
    fn the_key_of_a_file_goes_to_no_other_address() {
        let (_dir, path) = file_of("http://one:1");
        let given = |url: &str| Given {
            url: Some(url.to_owned()),
            default_file: Some(path.clone()),
            ..Given::default()
        };
        assert!(matches!(given("http://two:2").resolve(), Err(ClientError::NoKey { .. })));
        assert_eq!(given("http://one:1/").resolve().unwrap().api_key, "mk_file");
    }

    #[test]
    fn without_any_word_the_error_says_what_to_do() {
        let error = Given::default().resolve().unwrap_err().to_string();
        assert!(error.contains("makima up") && error.contains("MAKIMA_URL"), "{error}");
        let missing = Given { named_file: Some("/nowhere/client.json".into()), ..Given::default() };
        assert!(missing.resolve().unwrap_err().to_string().contains("/nowhere/client.json"));
    }
}
