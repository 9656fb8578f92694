//! The machine that the figures are of.

use std::path::Path;

use serde::Serialize;

use crate::stack::Servers;

const UNKNOWN: &str = "unknown";

/// What a figure depends on.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) kernel: String,
    /// The file system that everything lay on.
    pub(crate) file_system: String,
    pub(crate) postgres: String,
}

/// Looks around.
pub(crate) async fn describe(dir: &Path, servers: &Servers) -> anyhow::Result<Machine> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let unknown = || UNKNOWN.to_owned();
    Ok(Machine {
        cores: std::thread::available_parallelism()?.get(),
        cpu: cpu_model(&read("/proc/cpuinfo")).unwrap_or_else(unknown),
        kernel: kernel().await.unwrap_or_else(unknown),
        file_system: file_system(&read("/proc/self/mounts"), dir).unwrap_or_else(unknown),
        postgres: servers.postgres_version().await?,
    })
}

impl Machine {
    /// Describes it in one line.
    pub(crate) fn line(&self) -> String {
        let Self { cores, cpu, kernel, file_system, postgres } = self;
        format!("{cores} cores, {cpu}, {kernel}, {file_system}, PostgreSQL {postgres}")
    }

    /// Says what makes the figures worthless, if anything does.
    pub(crate) fn doubts(&self) -> Option<&'static str> {
        if matches!(&*self.file_system, "tmpfs" | "ramfs") {
            return Some("everything lay in memory, where a commit costs nothing: name a disk with --dir");
        }
        cfg!(debug_assertions).then_some("this is a debug build: only `make bench` tells anything")
    }
}

async fn kernel() -> Option<String> {
    let output = tokio::process::Command::new("uname").arg("-srm").output().await.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Finds the type of the mount that holds `dir`: the longest one above it, the last of equals.
fn file_system(mounts: &str, dir: &Path) -> Option<String> {
    let mount = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        // Blanks stand in octal in /proc/self/mounts.
        let point = fields.next()?.replace("\\040", " ");
        let kind = fields.next()?.to_owned();
        dir.starts_with(&point).then_some((point.len(), kind))
    };
    mounts.lines().filter_map(mount).max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_names_the_file_system() {
        let mounts =
            "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/vdb /var/big\\040disk xfs rw 0 0\n";
        for (dir, expected) in
            [("/var/tmp/a", "ext4"), ("/tmp/a", "tmpfs"), ("/var/big disk/a", "xfs"), ("/tmpfoo", "ext4")]
        {
            assert_eq!(file_system(mounts, Path::new(dir)).as_deref(), Some(expected), "{dir}");
        }
    }

    #[test]
    fn the_model_is_read_from_the_first_core() {
        let cpuinfo =
            "processor\t: 0\nmodel name\t: Some  CPU @ 2 GHz\nprocessor\t: 1\nmodel name\t: Other\n";
        assert_eq!(cpu_model(cpuinfo).as_deref(), Some("Some CPU @ 2 GHz"));
        assert_eq!(cpu_model(""), None);
    }
}
