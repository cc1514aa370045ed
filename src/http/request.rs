//! What the guard knows of a request, for whoever handles it: extensions that warp filters read.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use uuid::Uuid;

use lakechat_core::domain::UserName;

/// Names one request in its answer (`x-request-id`) and in the log. Minted here, never taken from
/// a client: what stands in the log under an id can't be forged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(Uuid);

impl RequestId {
    pub fn mint() -> RequestId {
        RequestId(Uuid::new_v4())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The address on whose behalf a request came: the peer's, or what a trusted proxy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddr(pub IpAddr);

/// Who made the request, for the access log: filled in by whoever checks the token.
#[derive(Clone, Debug, Default)]
pub struct Caller(Arc<OnceLock<UserName>>);

impl Caller {
    /// The first name stays.
    pub fn identify(&self, user: UserName) {
        self.0.get_or_init(|| user);
    }

    pub fn user(&self) -> Option<&UserName> {
        self.0.get()
    }
}
