//! The clients that this machine has.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use makima_shared::config::WorkerConfig;
use makima_shared::domain::{AgentClient, sorted_labels};

/// Where the programs of the clients are that this worker can start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clients {
    programs: BTreeMap<AgentClient, PathBuf>,
}

impl Clients {
    /// Looks for each client where the settings say, and on this process's `PATH`.
    pub(crate) fn find(config: &WorkerConfig) -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        let named = |client| match client {
            AgentClient::Claude => &config.claude_path,
            AgentClient::Codex => &config.codex_path,
        };
        let found = AgentClient::ALL.map(|client| Some((client, program(named(client), &path)?)));
        Self { programs: found.into_iter().flatten().collect() }
    }

    /// Returns a client's program.
    pub(crate) fn program(&self, client: AgentClient) -> Option<&Path> {
        self.programs.get(&client).map(PathBuf::as_path)
    }

    /// Returns what a client's process must be able to read to run: its program, and the packages around it, by the
    /// path that it is started by and by the one that this leads to.
    pub(crate) fn places(&self, client: AgentClient) -> Vec<PathBuf> {
        let Some(program) = self.program(client) else { return Vec::new() };
        let real = program.canonicalize().ok();
        let paths = std::iter::once(program).chain(real.as_deref());
        let mut places: Vec<_> = paths.map(|path| packages(path).unwrap_or(path).to_owned()).collect();
        places.dedup();
        places
    }

    /// Returns what the worker offers: what it was told, and the clients that it has.
    pub(crate) fn labels(&self, configured: &[String]) -> Vec<String> {
        let own = AgentClient::ALL.map(AgentClient::label);
        let mut labels: Vec<_> =
            configured.iter().filter(|label| !own.contains(&label.as_str())).cloned().collect();
        labels.extend(self.programs.keys().map(|client| client.label().to_owned()));
        sorted_labels(labels)
    }
}

/// Returns the directory of npm's packages that a file is in.
fn packages(file: &Path) -> Option<&Path> {
    file.ancestors().filter(|directory| directory.file_name() == Some(OsStr::new("node_modules"))).last()
}

fn program(name: &str, path: &OsStr) -> Option<PathBuf> {
    if name.is_empty() {
        return None;
    }
    if name.contains('/') {
        return std::path::absolute(name).ok().filter(|file| is_program(file));
    }
    env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_its_path_or_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("claude");
        std::fs::write(&file, "").unwrap();
        let path = env::join_paths(["relative".as_ref(), directory.path()]).unwrap();
        assert_eq!(program("claude", &path), None, "not executable");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(program("claude", &path), Some(file.clone()));
        assert_eq!(program(file.to_str().unwrap(), OsStr::new("")), Some(file));
        assert_eq!(program("codex", &path), None);
        assert_eq!(program("", &path), None);
    }

    #[test]
    fn a_client_may_read_itself_and_the_packages_around_it() {
        let directory = tempfile::tempdir().unwrap();
        let packages = directory.path().canonicalize().unwrap().join("node_modules");
        let (file, link) = (packages.join("codex/node_modules/x/codex.js"), packages.join(".bin/codex"));
        for path in [&file, &link] {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let programs = BTreeMap::from([(AgentClient::Codex, link), (AgentClient::Claude, "/bin/sh".into())]);
        let clients = Clients { programs };
        assert_eq!(clients.places(AgentClient::Codex), [packages]);
        assert!(clients.places(AgentClient::Claude).contains(&PathBuf::from("/bin/sh")));
    }

    #[test]
    fn a_client_is_offered_by_those_alone_that_have_it() {
        let programs = BTreeMap::from([(AgentClient::Codex, PathBuf::from("/bin/codex"))]);
        let told = ["gpu", "agent:claude"].map(str::to_owned);
        assert_eq!(Clients { programs }.labels(&told), ["agent:codex", "gpu"]);
    }
}
