//! Who sends a request: the bearer key, looked up and remembered for a little while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use makima_shared::domain::OwnerId;
use makima_shared::store::Caller;
use sha2::{Digest, Sha256};

use crate::error::{ErrorCode, ErrorResponse};
use crate::state::AppState;

/// How long a revoked key may still be taken.
const REMEMBER: Duration = Duration::from_secs(10);
/// How many keys are remembered.
const MAX_KEYS: usize = 4096;

type KeyDigest = [u8; 32];

/// Keys that were found good within the last [`REMEMBER`], by their hash. A key that was refused is not remembered.
#[derive(Debug, Default)]
pub(crate) struct KeyCache(Mutex<HashMap<KeyDigest, (Caller, Instant)>>);

impl KeyCache {
    fn get(&self, digest: &KeyDigest) -> Option<Caller> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(digest).filter(|(_, since)| since.elapsed() < REMEMBER).map(|(caller, _)| *caller)
    }

    fn put(&self, digest: KeyDigest, caller: Caller) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MAX_KEYS {
            keys.retain(|_, (_, since)| since.elapsed() < REMEMBER);
        }
        if keys.len() < MAX_KEYS {
            keys.insert(digest, (caller, Instant::now()));
        }
    }
}

/// The owner whose key the request carries: the only one whose rows it may touch.
#[derive(Clone, Copy)]
pub(crate) struct Owner(pub(crate) OwnerId);

/// Who looks on: an owner, or an operator, who also sees how much the other owners have to do.
#[derive(Clone, Copy)]
pub(crate) struct Viewer {
    pub(crate) owner: OwnerId,
    pub(crate) operator: bool,
}

/// An owner that submits tasks, and how many a minute it may; any number if none. Changed limits hold within [`REMEMBER`].
#[derive(Clone, Copy)]
pub(crate) struct Submitter {
    pub(crate) owner: OwnerId,
    pub(crate) per_minute: Option<u32>,
}

impl FromRequestParts<AppState> for Owner {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ErrorResponse> {
        authenticate(parts, state).await.map(|caller| Self(caller.owner_id))
    }
}

impl FromRequestParts<AppState> for Viewer {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ErrorResponse> {
        let caller = authenticate(parts, state).await?;
        Ok(Self { owner: caller.owner_id, operator: caller.operator })
    }
}

impl FromRequestParts<AppState> for Submitter {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ErrorResponse> {
        let caller = authenticate(parts, state).await?;
        let per_minute = caller.submissions_per_minute.map(i32::unsigned_abs);
        Ok(Self { owner: caller.owner_id, per_minute })
    }
}

async fn authenticate(parts: &Parts, state: &AppState) -> Result<Caller, ErrorResponse> {
    let refused = |message| ErrorResponse::new(ErrorCode::Unauthorized, message);
    let key = bearer_key(parts).ok_or_else(|| refused("send a key: Authorization: Bearer <key>"))?;
    let digest: KeyDigest = Sha256::digest(key.as_bytes()).into();
    if let Some(caller) = state.keys.get(&digest) {
        return Ok(caller);
    }
    let caller = state.store.api_key_authenticate(key).await?;
    let caller = caller.ok_or_else(|| refused("the key is unknown or was revoked"))?;
    state.keys.put(digest, caller);
    Ok(caller)
}

fn bearer_key(parts: &Parts) -> Option<&str> {
    let (scheme, key) = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !key.trim().is_empty()).then(|| key.trim())
}
