//! The load: tasks of all kinds, alone and in graphs, submitted over HTTP all the time, whatever breaks meanwhile.
//!
//! Every submission carries an idempotency key and is sent until it is answered. Some are sent again after that, some
//! tasks are stopped. What is answered goes into the ledger first. Beside that, schedules submit by themselves.

pub(crate) mod crons;
mod driver;
mod insist;
mod kind;
mod piece;
mod stops;

pub(crate) use driver::{Driver, run};
pub(crate) use kind::{Fate, Kind};
pub(crate) use piece::Piece;
