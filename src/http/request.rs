//! What the guard attaches to a request as extensions.

use std::fmt;
use std::net::IpAddr;

use tracing::Span;
use uuid::Uuid;

use lakechat_core::domain::UserName;
use lakechat_core::ports;

/// Identifies one request in its response (`x-request-id`) and in the log. Always generated here: an
/// id from a client could forge log lines of another request.
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

/// The client's address: the peer's, or the one that a trusted proxy reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddr(pub IpAddr);

/// The user who made the request, for the access log and the back ends. Set when the token was checked.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(super) known: ports::Caller,
    /// Of the request: gets the field `user`.
    span: Span,
}

impl Caller {
    pub(super) fn new(span: Span) -> Caller {
        Caller {
            known: ports::Caller::unknown(),
            span,
        }
    }

    /// Only the first call has an effect.
    pub fn identify(&self, user: UserName) {
        if self.known.identify(user.clone()) {
            self.span.record("user", user.as_str());
        }
    }

    pub fn user(&self) -> Option<&UserName> {
        self.known.name()
    }
}
