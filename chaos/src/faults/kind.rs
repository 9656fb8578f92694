//! The kinds of faults, and what each concerns.

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub(crate) enum FaultKind {
    KillWorker,
    FreezeWorker,
    KillLeader,
    FreezeLeader,
    KillScheduler,
    KillApi,
    KillApiAfterPost,
    FlushRedis,
    KillRedis,
    PauseRedis,
    CrashPostgres,
    TerminateBackends,
    CutBeforeCommit,
    LoseAnswer,
    CutConnections,
    LoseWayToRedis,
    LoseWayToPostgres,
    PushAgain,
    DeleteWorktree,
    LoseRemote,
}

/// What a fault concerns: whose promises may be late because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// One worker, by its place.
    Worker(usize),
    Scheduler,
    Api,
    Redis,
    Postgres,
    Remote,
    /// The machine has no time for the run. No fault of the plan's: it is watched.
    Machine,
    /// Nothing may be late because of it.
    Nothing,
}

impl FaultKind {
    /// All kinds with their weights.
    pub(super) const WEIGHTS: [(Self, u32); 20] = [
        (Self::KillWorker, 12),
        (Self::FreezeWorker, 10),
        (Self::KillLeader, 6),
        (Self::FreezeLeader, 3),
        (Self::KillScheduler, 3),
        (Self::KillApi, 4),
        (Self::KillApiAfterPost, 5),
        (Self::FlushRedis, 6),
        (Self::KillRedis, 5),
        (Self::PauseRedis, 3),
        (Self::CrashPostgres, 4),
        (Self::TerminateBackends, 5),
        (Self::CutBeforeCommit, 6),
        (Self::LoseAnswer, 10),
        (Self::CutConnections, 4),
        (Self::LoseWayToRedis, 5),
        (Self::LoseWayToPostgres, 7),
        (Self::PushAgain, 5),
        (Self::DeleteWorktree, 5),
        (Self::LoseRemote, 2),
    ];

    /// Returns the words for reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::KillWorker => "worker killed",
            Self::FreezeWorker => "worker frozen past its lease",
            Self::KillLeader => "leading scheduler killed",
            Self::FreezeLeader => "leading scheduler frozen past its lease",
            Self::KillScheduler => "any scheduler killed",
            Self::KillApi => "API killed",
            Self::KillApiAfterPost => "API killed after a POST was sent",
            Self::FlushRedis => "Redis flushed",
            Self::KillRedis => "Redis killed",
            Self::PauseRedis => "Redis paused",
            Self::CrashPostgres => "PostgreSQL stopped at once",
            Self::TerminateBackends => "all PostgreSQL backends terminated",
            Self::CutBeforeCommit => "connection cut before a write arrived",
            Self::LoseAnswer => "answer lost after a write was committed",
            Self::CutConnections => "all connections of a role cut",
            Self::LoseWayToRedis => "worker cut off from Redis alone",
            Self::LoseWayToPostgres => "worker cut off from PostgreSQL alone",
            Self::PushAgain => "queue member pushed 100 times",
            Self::DeleteWorktree => "worktree deleted mid-run",
            Self::LoseRemote => "git remote down",
        }
    }
}
