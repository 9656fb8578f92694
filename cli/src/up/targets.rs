//! Where each role shows its metrics, and the file that tells Prometheus of it.
//!
//! A role's port is chosen anew at each of its starts, as somebody else may have taken it meanwhile; the file always
//! tells the present ones.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use makima_shared::config::{Config, ConfigSource};
use serde_json::{Value, json};

/// Where the roles are to show their metrics.
#[derive(Debug)]
pub(super) struct Targets {
    file: PathBuf,
    /// The address of the first role; the others follow by their ports.
    first: SocketAddr,
    places: Mutex<BTreeMap<String, SocketAddr>>,
}

impl Targets {
    /// Counts from the port behind the API's, or from where the configuration says; `None` if it says nowhere.
    pub(super) fn new(
        data_dir: &Path,
        source: &ConfigSource,
        config: &Config,
        api: SocketAddr,
    ) -> Option<Self> {
        let first = match (config.metrics.listen, source.given("metrics.listen")) {
            (Some(address), _) => address,
            (None, Some(_nowhere)) => return None,
            (None, None) => SocketAddr::from((Ipv4Addr::LOCALHOST, api.port().checked_add(1).unwrap_or(0))),
        };
        let places = Mutex::new(BTreeMap::from([("api".to_owned(), api)]));
        Some(Self { file: data_dir.join("metrics.json"), first, places })
    }

    /// The file that lists them.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Finds an address for the role that is the `number`th, counted from 0, and tells Prometheus.
    pub(super) fn place(&self, role: &str, number: u16) -> io::Result<SocketAddr> {
        let own = match self.first.port() {
            0 => 0,
            port => port.checked_add(number).unwrap_or(0),
        };
        let ip = self.first.ip();
        let free = TcpListener::bind((ip, own)).or_else(|_taken| TcpListener::bind((ip, 0)))?;
        let address = free.local_addr()?;
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.insert(role.to_owned(), address);
        self.write(&places)?;
        Ok(address)
    }

    /// Writes the file whole or not at all, in the form of Prometheus' `file_sd_configs`.
    fn write(&self, places: &BTreeMap<String, SocketAddr>) -> io::Result<()> {
        let groups: Vec<Value> = places
            .iter()
            .map(|(role, address)| json!({"targets": [address.to_string()], "labels": {"role": role}}))
            .collect();
        let mut file = tempfile::NamedTempFile::new_in(self.file.parent().unwrap_or(Path::new(".")))?;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        serde_json::to_writer_pretty(&mut file, &groups)?;
        file.persist(&self.file)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(dir: &Path, setting: Option<&str>, api: &str) -> Option<Targets> {
        let source = ConfigSource::default().flag("metrics.listen", setting);
        Targets::new(dir, &source, &Config::load(&source).unwrap(), api.parse().unwrap())
    }

    #[test]
    fn roles_are_placed_behind_the_api_or_where_they_are_told_to() {
        let dir = Path::new("/nowhere");
        let first = |setting, api| targets(dir, setting, api).map(|targets| targets.first.to_string());
        assert_eq!(first(None, "0.0.0.0:7420").as_deref(), Some("127.0.0.1:7421"));
        assert_eq!(first(None, "127.0.0.1:65535").as_deref(), Some("127.0.0.1:0"));
        assert_eq!(first(Some("0.0.0.0:9400"), "127.0.0.1:7420").as_deref(), Some("0.0.0.0:9400"));
        assert_eq!(first(Some(""), "127.0.0.1:7420"), None);
    }

    #[test]
    fn a_port_that_is_taken_is_passed_over_and_the_file_tells_the_real_ones() {
        let dir = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let targets = targets(dir.path(), Some(&address.to_string()), "127.0.0.1:1").unwrap();
        let place = targets.place("scheduler", 0).unwrap();
        assert_ne!(place.port(), address.port());
        let file: Value = serde_json::from_slice(&std::fs::read(targets.file()).unwrap()).unwrap();
        assert_eq!(
            file,
            json!([
                {"targets": ["127.0.0.1:1"], "labels": {"role": "api"}},
                {"targets": [place.to_string()], "labels": {"role": "scheduler"}},
            ])
        );
    }
}
