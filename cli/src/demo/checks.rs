//! What must be true for the demo to have succeeded.

mod attempts;
mod tree;

pub(crate) use attempts::check_attempts;
pub(crate) use tree::check_results;
