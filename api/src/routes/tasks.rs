//! Tasks: submitted, listed, shown, stopped and followed.

pub(super) mod events;
pub(super) mod list;
pub(super) mod output;
pub(super) mod show;
pub(super) mod stop;
pub(super) mod stream;
pub(super) mod submit;
