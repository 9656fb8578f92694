//! The stand-ins against the scripted model: each does what the real client was seen to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod claude;
mod codex;
mod run;
