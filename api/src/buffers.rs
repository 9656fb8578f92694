//! The bytes of bodies that the process holds: those it reads, and those of answers until they are sent.
//!
//! Each is bounded by itself, but a client that sends or reads slowly makes it last, and there may be thousands. What
//! comes from PostgreSQL is counted once it is there; up to then the pool of connections is the bound.

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use makima_shared::domain::OwnerId;
use serde::Serialize;

use crate::error::{ErrorCode, ErrorResponse};
use crate::shares::{Share, Shares};

/// How many bytes the process holds.
const MAX_BYTES: usize = 256 * 1024 * 1024;
/// How many of them for one owner.
const MAX_BYTES_OF_OWNER: usize = 64 * 1024 * 1024;

/// Counts bytes. Clones count together.
#[derive(Clone)]
pub(crate) struct Buffers(Shares);

impl Default for Buffers {
    fn default() -> Self {
        Self(Shares::new(MAX_BYTES, MAX_BYTES_OF_OWNER))
    }
}

/// Bytes that are counted until the last reference to them is gone.
struct Counted {
    bytes: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Buffers {
    /// Makes room for bytes, for as long as what is returned lives.
    pub(crate) fn reserve(&self, owner: OwnerId, bytes: usize) -> Result<Share, ErrorResponse> {
        self.0.take(owner, bytes).ok_or_else(|| {
            ErrorResponse::new(
                ErrorCode::Overloaded,
                "the requests and answers under way are larger than may be held at once: try again",
            )
        })
    }

    /// Counts bytes for as long as they are held.
    pub(crate) fn hold(&self, owner: OwnerId, bytes: Vec<u8>) -> Result<Bytes, ErrorResponse> {
        let share = self.reserve(owner, bytes.len())?;
        Ok(Bytes::from_owner(Counted { bytes, _share: share }))
    }

    /// Answers with JSON that may be large.
    pub(crate) fn json(&self, owner: OwnerId, view: &impl Serialize) -> Result<Response, ErrorResponse> {
        let bytes = serde_json::to_vec(view).map_err(|error| ErrorResponse::internal(&error))?;
        let body = Body::from(self.hold(owner, bytes)?);
        Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_until_it_is_sent() {
        let buffers = Buffers(Shares::new(8, 4));
        let owner = OwnerId::new();
        let held = buffers.hold(owner, vec![7; 3]).unwrap();
        let being_sent = held.slice(1..);
        drop(held);
        let refused = buffers.hold(owner, vec![7; 2]).unwrap_err();
        assert_eq!(refused.into_response().status().as_u16(), 503);
        assert_eq!(being_sent, [7, 7].as_slice());
        drop(being_sent);
        assert!(buffers.hold(owner, vec![7; 2]).is_ok());
    }
}
