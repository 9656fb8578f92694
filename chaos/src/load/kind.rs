//! What a task's agent does, and how such a task must end.

use serde::Serialize;

/// How often a task is tried again that is not to fail. Others spend its retries: whoever kills its worker.
const PLENTY: u32 = 60;

/// A kind of agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    /// Writes numbered lines.
    Lines,
    /// Ends at once.
    Quick,
    /// Fails always.
    Failing,
    /// Fails in its first epoch.
    Flaky,
    /// Runs into its time limit.
    Endless,
    /// Ignores SIGTERM.
    Stubborn,
    /// Leaves processes in other sessions.
    Detached,
    /// Leaves many processes.
    Forks,
    /// Says more than is kept.
    Flood,
    /// Prints invalid UTF-8 and zeros.
    Garbage,
    /// Prints one endless line.
    OneLine,
    /// Kills its worker.
    Poison,
}

/// How a task must end that nobody stops and whose parents end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Done,
    Failed,
}

impl Kind {
    /// All kinds with how many of a thousand tasks are of them.
    pub(crate) const WEIGHTS: [(Self, u32); 12] = [
        (Self::Lines, 565),
        (Self::Quick, 120),
        (Self::Failing, 40),
        (Self::Flaky, 40),
        (Self::Endless, 20),
        (Self::Stubborn, 40),
        (Self::Detached, 40),
        (Self::Forks, 40),
        (Self::Flood, 30),
        (Self::Garbage, 30),
        (Self::OneLine, 30),
        (Self::Poison, 5),
    ];

    /// Returns the word for names and reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Quick => "quick",
            Self::Failing => "failing",
            Self::Flaky => "flaky",
            Self::Endless => "endless",
            Self::Stubborn => "stubborn",
            Self::Detached => "detached",
            Self::Forks => "forks",
            Self::Flood => "flood",
            Self::Garbage => "garbage",
            Self::OneLine => "one line",
            Self::Poison => "poison",
        }
    }

    /// Returns how such a task must end.
    pub(crate) fn fate(self) -> Fate {
        match self {
            Self::Failing | Self::Endless | Self::Poison => Fate::Failed,
            Self::Lines
            | Self::Quick
            | Self::Flaky
            | Self::Stubborn
            | Self::Detached
            | Self::Forks
            | Self::Flood
            | Self::Garbage
            | Self::OneLine => Fate::Done,
        }
    }

    /// Returns how often such a task may be tried again.
    pub(crate) fn max_retries(self) -> u32 {
        match self {
            Self::Failing | Self::Endless => 1,
            Self::Poison => 2,
            Self::Lines
            | Self::Quick
            | Self::Flaky
            | Self::Stubborn
            | Self::Detached
            | Self::Forks
            | Self::Flood
            | Self::Garbage
            | Self::OneLine => PLENTY,
        }
    }

    /// Returns how long one attempt may take, in seconds.
    pub(crate) fn timeout_secs(self) -> Option<u32> {
        (self == Self::Endless).then_some(1)
    }

    /// Returns the agent's script.
    pub(crate) fn script(self) -> String {
        let body = match self {
            Self::Lines => include_str!("../agents/lines.sh"),
            Self::Quick => include_str!("../agents/quick.sh"),
            Self::Failing => include_str!("../agents/failing.sh"),
            Self::Flaky => include_str!("../agents/flaky.sh"),
            Self::Endless => include_str!("../agents/endless.sh"),
            Self::Stubborn => include_str!("../agents/stubborn.sh"),
            Self::Detached => include_str!("../agents/detached.sh"),
            Self::Forks => include_str!("../agents/forks.sh"),
            Self::Flood => include_str!("../agents/flood.sh"),
            Self::Garbage => include_str!("../agents/garbage.sh"),
            Self::OneLine => include_str!("../agents/one_line.sh"),
            Self::Poison => include_str!("../agents/poison.sh"),
        };
        format!("{}\n{body}", include_str!("../agents/prologue.sh"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_make_a_thousand() {
        assert_eq!(Kind::WEIGHTS.iter().map(|(_, weight)| weight).sum::<u32>(), 1000);
    }
}
