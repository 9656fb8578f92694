//! The client of the HTTP API.
//!
//! Owns requests, their errors in words, short ids and the live stream. Leaves out how anything looks (`render`).

mod connection;
mod error;
mod follow;
mod request;
mod schedules;
mod secrets;
mod short_id;
mod sse;
mod tasks;

pub(crate) use connection::{ClientArgs, ClientFile};
pub(crate) use error::ClientError;
pub(crate) use follow::{Follow, Followed};
pub(crate) use request::Client;
pub(crate) use schedules::ScheduleDetail;
pub(crate) use tasks::{TaskDetail, TaskQuery};
