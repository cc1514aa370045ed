//! Accounts and their login sessions.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::UserName;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: UserName,
    /// An argon2id hash in PHC string format.
    pub password_hash: String,
    /// Milliseconds since 1970.
    pub created_at_ms: u64,
    /// Whether the user may administer the accounts of others.
    pub is_admin: bool,
    /// Whether an operator has locked the user out.
    pub is_disabled: bool,
}

impl User {
    /// Whether the user is an admin who can log in.
    pub fn is_active_admin(&self) -> bool {
        self.is_admin && !self.is_disabled
    }
}

/// A login of a user. Its access tokens contain its id, and its refresh token renews it. A chat
/// session is something else: one WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginSession {
    pub id: Uuid,
    pub user: UserName,
    /// Hex SHA-256 of the valid refresh token.
    pub refresh_hash: String,
    /// The refresh token before it; `None` before the first refresh.
    pub replaced: Option<ReplacedToken>,
    /// The address of the login, or of the latest refresh.
    pub address: Option<IpAddr>,
    /// The program that logged in, or that refreshed last, as it calls itself.
    pub client: Option<String>,
    /// Milliseconds since 1970.
    pub created_at_ms: u64,
    /// When the refresh token expires. Each refresh sets it again.
    pub expires_at_ms: u64,
    /// The session was ended, for example by a logout. Never reset.
    pub revoked: bool,
}

impl LoginSession {
    /// When it began or was last refreshed, in ms since 1970.
    pub fn used_at_ms(&self) -> u64 {
        let replaced = self.replaced.as_ref();
        replaced.map_or(self.created_at_ms, |token| token.at_ms)
    }

    /// Whether it has neither ended nor expired.
    pub fn is_live(&self, now_ms: u64) -> bool {
        !self.revoked && self.expires_at_ms > now_ms
    }
}

/// The refresh token that the valid one replaced. A client that didn't receive the answer to its
/// refresh sends this token again and gets the same successor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedToken {
    /// Hex SHA-256 of the token.
    pub hash: String,
    /// Random hex digits from which, together with the token, the successor is derived.
    pub seed: String,
    /// When it was replaced. Milliseconds since 1970.
    pub at_ms: u64,
}
