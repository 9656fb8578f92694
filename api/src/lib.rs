//! The HTTP API: thin on purpose. A route authenticates, validates, makes one call to the store, gives the queue a hint
//! and answers.
//!
//! - [`app`] is the whole router over an [`AppState`]; [`run`] binds an address and serves it.
//! - `error.rs` alone turns errors into HTTP, `extract.rs` and `auth.rs` alone read requests, `views/` alone shapes answers.
//!
//! **Architecture invariant.** Nothing here decides when a task runs, and nothing here touches git or a process. What is
//! answered comes from PostgreSQL; Redis is only told, after the commit, and the API answers without it.

mod auth;
mod buffers;
mod error;
mod exporter;
mod extract;
mod fleet;
mod hints;
mod observe;
mod openapi;
mod requests;
mod routes;
mod server;
mod shares;
mod state;
mod submission;
mod views;

pub use exporter::export;
pub use openapi::document;
pub use routes::app;
pub use server::{ApiError, run, serve};
pub use state::AppState;
