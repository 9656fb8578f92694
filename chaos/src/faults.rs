//! The faults: what is broken, when, and what it hit.
//!
//! The seed decides the whole plan before the first fault: the order, the kinds, the targets and the gaps. A fault may
//! begin while another one lasts. What the plan cannot know (which attempt runs on a worker, who leads) is found when the
//! fault strikes.

mod kind;
mod plan;
mod postgres;
mod queue;
mod redis;
mod remote;
mod roles;
mod strike;
mod ways;
mod workspace;

use chrono::{DateTime, Utc};

pub(crate) use kind::{FaultKind, Scope};
pub(crate) use plan::Planned;
pub(crate) use roles::kill_leader;
pub(crate) use strike::run;

/// What one fault came to.
#[derive(Clone, Debug)]
pub(crate) struct Struck {
    /// Its place in the plan.
    pub(crate) number: usize,
    pub(crate) kind: FaultKind,
    /// What it was meant to hit.
    pub(crate) scope: Scope,
    pub(crate) began: DateTime<Utc>,
    pub(crate) ended: DateTime<Utc>,
    /// What it hit, in words; or why it found nothing to hit.
    pub(crate) hit: Result<String, String>,
}
