//! What every agent of a worker may read of the machine: programs, libraries, what they need of `/etc`, and toolchains.
//!
//! Worked out once, from the worker's own environment and settings. What is not named here is not there for an agent:
//! homes, `/var`, `/srv`, `/run`, the worker's own directories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::account;

/// Directories of programs and libraries.
const SYSTEM: [&str; 10] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/nix/store",
    "/home/linuxbrew/.linuxbrew",
];

/// What programs need of `/etc`. The rest is left out: passwords, keys of hosts, configuration of services.
const ETC: [&str; 34] = [
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "crypto-policies",
    "debian_version",
    "fonts",
    "gai.conf",
    "gitconfig",
    "host.conf",
    "hosts",
    "inputrc",
    "java",
    "java-17-openjdk",
    "java-21-openjdk",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "ld.so.preload",
    "locale.alias",
    "locale.conf",
    "localtime",
    "lsb-release",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "pki",
    "protocols",
    "redhat-release",
    "resolv.conf",
    "services",
    "ssl",
    "terminfo",
    "timezone",
];

/// Directories below those of `/etc` that hold private keys.
const PRIVATE: [&str; 3] = ["/etc/ssl/private", "/etc/pki/tls/private", "/etc/pki/ca-trust/source"];

/// Files of a toolchain's directory that hold credentials.
const CREDENTIALS: [&str; 2] = ["credentials", "credentials.toml"];

/// What every agent of a worker may read.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Paths as agents see them, in order, with what stands there.
    pub(super) readable: BTreeMap<PathBuf, PathBuf>,
    /// Links of the root directory, such as `/bin` to `usr/bin`.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
    /// Directories in those that stay empty.
    pub(super) hidden_directories: Vec<PathBuf>,
    /// Files in those that stay empty.
    pub(super) hidden_files: Vec<PathBuf>,
}

impl Machine {
    /// Looks what there is.
    pub(super) fn look(
        agent_env: &[String],
        read_paths: &[PathBuf],
        data_dir: &Path,
        executable: &Path,
    ) -> Self {
        let mut machine = Self {
            readable: BTreeMap::new(),
            links: Vec::new(),
            hidden_directories: Vec::new(),
            hidden_files: Vec::new(),
        };
        for path in SYSTEM.map(PathBuf::from) {
            match std::fs::read_link(&path) {
                Ok(target) => machine.links.push((path, target)),
                Err(_) => machine.add(&path),
            }
        }
        ETC.iter().for_each(|name| machine.add(&Path::new("/etc").join(name)));
        for path in read_paths {
            machine.add(path);
        }
        let private = kept_private(data_dir);
        for path in toolchains(agent_env) {
            if !private.iter().any(|private| private.starts_with(&path)) {
                machine.add(&path);
            }
        }
        // Where they cannot be written, nobody has a name, and that is all.
        for (name, file) in account::write(data_dir).unwrap_or_default() {
            machine.readable.insert(name, file);
        }
        // For `makima checkpoint`.
        if let Ok(own) = executable.canonicalize() {
            machine.add(&own);
        }
        machine.hide(data_dir);
        machine
    }

    /// Lets agents read a path, under its own name and under that which its links lead to.
    fn add(&mut self, path: &Path) {
        let Ok(real) = path.canonicalize() else { return };
        // Whatever is named, the whole machine is not.
        if real == Path::new("/") {
            return;
        }
        for name in [path, &real] {
            if !self.covers(name) {
                self.readable.insert(name.to_owned(), real.clone());
            }
        }
    }

    fn covers(&self, path: &Path) -> bool {
        path.ancestors().any(|place| {
            self.readable.get(place).is_some_and(|real| real == place)
                || self.links.iter().any(|(link, _)| link == place)
        })
    }

    /// Finds what must not be read below what may.
    fn hide(&mut self, data_dir: &Path) {
        let places: Vec<_> = self.readable.keys().cloned().collect();
        let mut hidden: Vec<_> = PRIVATE.map(PathBuf::from).to_vec();
        hidden.push(data_dir.to_owned());
        self.hidden_directories = hidden
            .into_iter()
            .filter(|path| path.is_dir() && places.iter().any(|place| path.starts_with(place)))
            .collect();
        let credentials = places.iter().flat_map(|place| CREDENTIALS.map(|name| place.join(name)));
        self.hidden_files = credentials.filter(|path| path.is_file()).collect();
    }
}

/// Names directories that no variable of the environment may open with what lies above them: homes and the worker's own.
fn kept_private(data_dir: &Path) -> Vec<PathBuf> {
    let mut private = vec![data_dir.to_owned()];
    private.extend(homes().into_iter().map(|home| home.join(".local/share")));
    private
}

/// Returns the home directories of the worker's user, by the environment and by the system.
pub(super) fn homes() -> Vec<PathBuf> {
    let known = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.dir);
    let mut homes: Vec<_> =
        std::env::home_dir().into_iter().chain(known).filter(|home| home.is_absolute()).collect();
    homes.dedup();
    homes
}

/// Returns what the worker's environment says about toolchains, as far as agents get it: the directories of `PATH` with the
/// libraries beside them, and whatever else is a path.
fn toolchains(agent_env: &[String]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in agent_env {
        let Some(value) = std::env::var_os(name) else { continue };
        for path in std::env::split_paths(&value).filter(|path| path.is_absolute()) {
            if name == "PATH"
                && let (true, Some(above)) = (path.ends_with("bin"), path.parent())
            {
                found.push(above.join("lib"));
            }
            found.push(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_the_workers_own_directory_stay_hidden_where_they_lie_in_what_is_readable() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        let data = place.join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(place.join("credentials.toml"), "token").unwrap();
        let machine = Machine::look(&[], std::slice::from_ref(&place), &data, Path::new("/nowhere"));
        assert!(machine.readable.contains_key(&place) && machine.readable.contains_key(Path::new("/usr")));
        assert_eq!(machine.hidden_files, [place.join("credentials.toml")]);
        assert!(machine.hidden_directories.contains(&data));
    }

    #[test]
    fn neither_homes_nor_passwords_are_readable() {
        let machine = Machine::look(&[], &[], Path::new("/var/lib/makima"), Path::new("/nowhere"));
        for path in homes().iter().map(PathBuf::as_path).chain([Path::new("/etc/shadow"), Path::new("/")]) {
            assert!(!machine.covers(path) && !machine.readable.contains_key(path), "{}", path.display());
        }
    }
}
