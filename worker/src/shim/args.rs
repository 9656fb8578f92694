//! The command lines of the two stages, written by one side and read by the other of the same binary.
//!
//! They are no interface for people: flags come in one fixed order, so that writer and reader stay a few lines. The
//! agent's environment is no part of them, because anybody may read a command line.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use nix::unistd::Pid;

use crate::sandbox::Confinement;

/// A command line that the other stage did not write.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    /// A flag is missing or out of its place.
    #[error("expected {flag} and its value")]
    Flag {
        /// The flag.
        flag: &'static str,
    },
    /// A flag's value is no number.
    #[error("{flag} takes a number")]
    Number {
        /// The flag.
        flag: &'static str,
    },
    /// What confines the agent cannot be read.
    #[error("--confinement takes what the other stage wrote")]
    Confinement(#[source] serde_json::Error),
    /// Nothing follows `--`.
    #[error("expected -- and the agent's command")]
    Command,
}

/// What the shim needs to know to run one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShimArgs {
    /// What the agent reads as its stdin: a regular file, or a pipe that has its writer.
    pub stdin_file: PathBuf,
    /// The agent's working directory.
    pub cwd: PathBuf,
    /// The lease's deadline at the start, in milliseconds of [`super::boottime_ms`].
    pub lease_until_ms: u64,
    /// What confines the agent.
    pub confinement: Confinement,
    /// The agent's program and arguments.
    pub argv: Vec<OsString>,
}

impl ShimArgs {
    /// The hidden subcommand's name.
    pub const COMMAND: &'static str = "agent-shim";

    /// Reads what follows the subcommand's name.
    pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Self, ArgsError> {
        let mut args = Flags(args);
        Ok(Self {
            stdin_file: args.value("--stdin-file")?.into(),
            cwd: args.value("--cwd")?.into(),
            lease_until_ms: args.number("--lease-until-ms")?,
            confinement: args.confinement()?,
            argv: args.command()?,
        })
    }

    /// Writes the whole command line but the program's name.
    pub fn to_args(&self) -> Vec<OsString> {
        let lease_until_ms = self.lease_until_ms.to_string();
        let confinement = written(&self.confinement);
        let flags: [(&str, &OsStr); 4] = [
            ("--stdin-file", self.stdin_file.as_ref()),
            ("--cwd", self.cwd.as_ref()),
            ("--lease-until-ms", lease_until_ms.as_ref()),
            ("--confinement", confinement.as_ref()),
        ];
        command_line(Self::COMMAND, &flags, &self.argv)
    }
}

/// What the second stage needs to know to become the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecArgs {
    /// The parent's process id, to notice that it died before the parent-death signal was set.
    pub parent: Pid,
    /// A descriptor of this program that was left open to find it inside of namespaces; none if negative.
    pub program_fd: i32,
    /// What the agent reads as its stdin: a regular file, or a pipe that has its writer.
    pub stdin_file: PathBuf,
    /// The agent's working directory.
    pub cwd: PathBuf,
    /// What confines the agent from here on.
    pub confinement: Confinement,
    /// The agent's program and arguments.
    pub argv: Vec<OsString>,
}

impl ExecArgs {
    /// The hidden subcommand's name.
    pub const COMMAND: &'static str = "agent-exec";

    /// Reads what follows the subcommand's name.
    pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Self, ArgsError> {
        let mut args = Flags(args);
        Ok(Self {
            parent: Pid::from_raw(args.number("--parent")?),
            program_fd: args.number("--program-fd")?,
            stdin_file: args.value("--stdin-file")?.into(),
            cwd: args.value("--cwd")?.into(),
            confinement: args.confinement()?,
            argv: args.command()?,
        })
    }

    /// Writes the whole command line but the program's name.
    pub fn to_args(&self) -> Vec<OsString> {
        let (parent, program_fd) = (self.parent.to_string(), self.program_fd.to_string());
        let confinement = written(&self.confinement);
        let flags: [(&str, &OsStr); 5] = [
            ("--parent", parent.as_ref()),
            ("--program-fd", program_fd.as_ref()),
            ("--stdin-file", self.stdin_file.as_ref()),
            ("--cwd", self.cwd.as_ref()),
            ("--confinement", confinement.as_ref()),
        ];
        command_line(Self::COMMAND, &flags, &self.argv)
    }
}

fn command_line(command: &str, flags: &[(&str, &OsStr)], argv: &[OsString]) -> Vec<OsString> {
    let mut line = vec![OsString::from(command)];
    for (flag, value) in flags {
        line.extend([OsString::from(flag), (*value).to_owned()]);
    }
    line.push("--".into());
    line.extend_from_slice(argv);
    line
}

/// Writes what confines the agent. Nothing in it can fail to be written; were it to, no stage would take the result.
fn written(confinement: &Confinement) -> String {
    serde_json::to_string(confinement).unwrap_or_default()
}

struct Flags<I>(I);

impl<I: Iterator<Item = OsString>> Flags<I> {
    fn value(&mut self, flag: &'static str) -> Result<OsString, ArgsError> {
        let named = self.0.next().is_some_and(|word| word == flag);
        self.0.next().filter(|_| named).ok_or(ArgsError::Flag { flag })
    }

    fn number<N: std::str::FromStr>(&mut self, flag: &'static str) -> Result<N, ArgsError> {
        let value = self.value(flag)?;
        value.to_str().and_then(|text| text.parse().ok()).ok_or(ArgsError::Number { flag })
    }

    fn confinement(&mut self) -> Result<Confinement, ArgsError> {
        let value = self.value("--confinement")?;
        serde_json::from_slice(value.as_encoded_bytes()).map_err(ArgsError::Confinement)
    }

    fn command(&mut self) -> Result<Vec<OsString>, ArgsError> {
        let separated = self.0.next().is_some_and(|word| word == "--");
        let argv: Vec<_> = self.0.by_ref().collect();
        if separated && !argv.is_empty() { Ok(argv) } else { Err(ArgsError::Command) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_reads_what_the_other_writes() {
        let shim = ShimArgs {
            stdin_file: "/w/plan.txt".into(),
            cwd: "/w/tree".into(),
            lease_until_ms: 42,
            confinement: Confinement {
                launcher: vec!["bwrap".into(), "--".into()],
                ..Confinement::default()
            },
            argv: vec!["agent".into(), "--".into(), "--cwd".into()],
        };
        assert_eq!(ShimArgs::parse(shim.to_args().into_iter().skip(1)).unwrap(), shim);
        let exec = ExecArgs {
            parent: Pid::from_raw(7),
            program_fd: -1,
            stdin_file: shim.stdin_file.clone(),
            cwd: shim.cwd.clone(),
            confinement: shim.confinement.inside(),
            argv: shim.argv.clone(),
        };
        assert_eq!(ExecArgs::parse(exec.to_args().into_iter().skip(1)).unwrap(), exec);
    }

    #[test]
    fn command_line_without_a_command_is_refused() {
        let words = "--parent 7 --program-fd -1 --stdin-file i --cwd c --confinement {} --"
            .split(' ')
            .map(OsString::from);
        assert!(matches!(ExecArgs::parse(words), Err(ArgsError::Command)));
        assert!(matches!(ShimArgs::parse(std::iter::empty()), Err(ArgsError::Flag { flag: "--stdin-file" })));
    }
}
