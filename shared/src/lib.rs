//! What every role of makima shares: the domain, the store (all SQL), the queue (all Redis), configuration, telemetry.
//!
//! **Architecture invariant.** No HTTP, no git and no child process here: `api`, `scheduler` and `worker` bring those,
//! depend on this crate, and never on each other.

pub mod config;
pub mod domain;
pub mod queue;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod testing;
pub mod vault;
